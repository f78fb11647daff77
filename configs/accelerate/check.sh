#!/bin/bash
# Checks on one node whether N processes do what one does, how fast, and with how much memory (about ten minutes):
#   bash configs/accelerate/check.sh                    one process for each GPU, and 1, 2, 4, ... of them
#   bash configs/accelerate/check.sh --cpu              one and two processes on the CPU
# Options, all of them optional:
#   --processes "1 2 8"   numbers of processes, 1 first
#   --config CONFIG       experiment (default: configs/quickstart.yaml, whose states come with Halocline)
#   --output FOLDER       new folder of the result (default: check)
#   --dry-run             print the commands only
# Others go to `halocline study cost check`, such as --samples 64 or --sampling.batch_size 4. Activate your environment
# first, and start it from the folder of the checkout. See docs/guide/clusters.md.
set -euo pipefail

fail() {
    echo "check: $1" >&2
    exit 2
}

cpu='' processes='' config=configs/quickstart.yaml output=check dry='' words=()
while (($#)); do
    case $1 in
        --cpu) cpu=1 ;;
        --dry-run) dry=1 ;;
        --processes | --config | --output)
            [[ ${2-} ]] || fail "$1 needs a value"
            declare "${1#--}=$2"
            shift
            ;;
        *) words+=("$1") ;;
    esac
    shift
done

python=${PYTHON:-python}
folder=$(dirname "${BASH_SOURCE[0]}")
gpus=0
if [[ ! $cpu ]]; then
    gpus=$("$python" -c 'import torch; print(torch.cuda.device_count())') ||
        fail "$python does not find torch: activate the environment of Halocline, or set PYTHON"
    ((gpus)) || fail "there is no GPU that torch can use: add --cpu to check the processors"
fi
if [[ ! $processes ]]; then
    for ((count = 1; count <= (cpu ? 2 : gpus); count *= 2)); do processes+="$count "; done
    ((cpu || count / 2 == gpus)) || processes+=$gpus
fi
read -ra counts <<<"$processes"
for count in "${counts[@]}"; do
    [[ $count =~ ^[1-9][0-9]*$ ]] || fail "--processes is '$processes': expected numbers, as in '1 2 4'"
done

launcher=$folder/one_node.yaml
if [[ $cpu ]]; then
    launcher=$folder/two_cpu_processes.yaml
    export ACCELERATE_USE_CPU=true
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # the same for each number of processes: sums depend on it
export HALOCLINE_TRACKERS=  # no curves

study=(-m halocline study cost check "$config" --folder "$output" --counts "${counts[@]}" ${words[@]+"${words[@]}"})

run() {
    local what=$1
    shift
    if [[ $dry ]]; then
        echo "$*"
    else
        echo "== $what" >&2
        "$@"
    fi
}

start() { # one process needs no launcher, which refuses a single one
    local count=$1 launch=()
    if ((count > 1)); then
        launch=(-m accelerate.commands.launch --config_file "$launcher"
            --num_processes "$count" --main_process_port 0)
    fi
    run "$count process(es)" "$python" ${launch[@]+"${launch[@]}"} "${study[@]}"
}

for count in "${counts[@]}"; do start "$count"; done
run "comparison" "$python" "${study[@]}" --compare

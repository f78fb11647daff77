#!/bin/bash
# Trains and samples on the GPUs of several nodes. Before the time limit the job saves its work and queues itself again:
#   sbatch configs/accelerate/slurm.sh configs/dino_quarter.yaml [--section.key value ...]
# Adapt these to your cluster, and activate your environment below.
#SBATCH --job-name=halocline
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=halocline-%j.log
set -euo pipefail

# source .venv/bin/activate

export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun does not take it from sbatch by itself
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
export MASTER_ADDR
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))  # of its own for each job on a shared node

# A process for each GPU, without a launcher: it would neither pass on the signal nor the exit code.
# --wait ends the others if one fails; killing at once could hide that the others ended well.
launch() {
    srun --kill-on-bad-exit=0 --wait=60 bash -c \
        'export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS
        exec halocline "$@"' launch "$@"
}

# Exit code 75: stopped by a signal, with all work saved.
stage() {
    local code=0
    launch "$@" || code=$?
    if ((code == 75)); then scontrol requeue "$SLURM_JOB_ID"; fi
    if ((code != 0)); then exit "$code"; fi
}

stage train autoencoder "$@"
stage train diffusion "$@"
stage sample "$@"
halocline evaluate "$@"

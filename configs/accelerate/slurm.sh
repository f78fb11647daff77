#!/bin/bash
# Trains and samples on the GPUs of several nodes; submit it again, and it goes on:
#   sbatch configs/accelerate/slurm.sh configs/dino_quarter.yaml [--section.key value ...]
# Adapt these to your cluster, and activate your environment below.
#SBATCH --job-name=halocline
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=halocline-%j.log
set -euo pipefail

# source .venv/bin/activate

export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun does not take it from sbatch by itself
export PROCESSES=$((SLURM_NNODES * SLURM_GPUS_ON_NODE))
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / SLURM_GPUS_ON_NODE))
MAIN_NODE=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
export MAIN_NODE
export PORT=$((20000 + SLURM_JOB_ID % 10000))  # of its own for each job on a shared node

# One launcher a node: each learns its node's number from srun, and starts a process for each GPU.
launch() {
    srun --kill-on-bad-exit=1 bash -c 'exec accelerate launch \
        --config_file configs/accelerate/several_nodes.yaml \
        --num_machines "$SLURM_NNODES" --num_processes "$PROCESSES" \
        --main_process_ip "$MAIN_NODE" --main_process_port "$PORT" --machine_rank "$SLURM_NODEID" \
        -m halocline "$@"' launch "$@"
}

launch train autoencoder "$@"
launch train diffusion "$@"
launch sample "$@"
halocline evaluate "$@"

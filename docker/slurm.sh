#!/usr/bin/env bash
# A run in 16 parts as a Slurm array:
#   sbatch --array=0-15 docker/slurm.sh /scratch/articles /scratch/dataset --model MODEL
# and, when all tasks have ended: pairmill merge /scratch/dataset -o /scratch/merged
#SBATCH --job-name=pairmill
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@90
set -u

input=$1 output=$2
shift 2

pairmill run "$input" --output "$output" --partition auto "$@" &
child=$!
# Slurm signals this shell before the time is up; calls in flight get to end, and all is committed.
trap 'kill -TERM "$child"' TERM
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do # a signal ended the wait, not the run
    wait "$child"
    code=$?
done

if [ "$code" -eq 75 ]; then # stopped: the same command resumes
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"

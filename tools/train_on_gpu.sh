#!/usr/bin/env bash
# Trains the models of the base size (regression, flow, CRPS) on one GPU within a budget of minutes.
#
#   tools/train_on_gpu.sh [--store STORE] [--work FOLDER] [--minutes 25] [--accelerator gpu] [--dry-run]
#
# Without --store it makes the synthetic world and the store first, before the budget begins. All lies in the work folder:
# archive/, retrieval.zarr, runs/base-unet, runs/base-flow, runs/base-crps. Run it again to go on where it was cut
# short. Three steps of each model are timed once, and its number of steps chosen so that its share of the budget
# suffices; it is kept beside the run as NAME.steps and never more than the configuration asks for.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
store="" work=gpu minutes=25 accelerator=gpu dry=no
while (($#)); do
  case $1 in
    --store) store=$2; shift 2 ;;
    --work) work=$2; shift 2 ;;
    --minutes) minutes=$2; shift 2 ;;
    --accelerator) accelerator=$2; shift 2 ;;
    --dry-run) dry=yes; shift ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

ondee=${ONDEE:-$root/.venv/bin/ondee}
command -v "$ondee" > /dev/null || ondee=ondee
python=${PYTHON:-$(dirname "$(command -v "$ondee")")/python}
cores=$(nproc)
mkdir -p "$work/runs"

if [[ -z $store ]]; then
  store=$work/retrieval.zarr
  mkdir -p "$work/configs"
  cp "$root"/configs/{world-retrieval,retrieval-store}.yaml "$work/configs/"  # the store lies beside its folder
  "$ondee" simulate "$work/configs/world-retrieval.yaml" --out "$work/archive" --workers "$cores"
  "$ondee" build "$work/configs/retrieval-store.yaml" --workers "$cores"
fi

# Share of the budget in hundredths; what is left is for starting, validating and fitting.
train() { # NAME SHARE [--part …]
  local name=$1 share=$2 run=$work/runs/$1
  shift 2
  local given=("$root/configs/train-$name.yaml" --store "$store" --out "$run" --accelerator "$accelerator" "$@")
  if [[ ! -f $run.steps || $dry == yes ]]; then
    echo "== $name: timing three steps"
    "$ondee" train "${given[@]}" --dry-run --json > "$run.plan.json"
    "$python" - "$run.plan.json" "$minutes" "$share" > "$run.steps.part" <<'PYTHON'
import json
import sys

told = json.load(open(sys.argv[1], encoding="utf-8"))
seconds = float(sys.argv[2]) * 60 * float(sys.argv[3]) / 100
possible = int(seconds / max(told["step_seconds"], 1e-4))
print(max(1, min(told["steps"], possible)))
print(
    f"{told['trained_parameters'] / 1e6:.1f} of {told['parameters'] / 1e6:.1f} million parameters are trained, "
    f"{told['step_seconds']:.3g} s a step on {told['device']}, {told['memory_megabytes']} MB: "
    f"{min(told['steps'], possible)} of {told['steps']} steps in {seconds / 60:.3g} min",
    file=sys.stderr,
)
PYTHON
    [[ $dry == yes ]] && { rm "$run.steps.part"; return; }
    mv "$run.steps.part" "$run.steps"
  fi
  echo "== $name: $(< "$run.steps") steps"
  "$ondee" train "${given[@]}" --steps "$(< "$run.steps")"
}

train base-unet 20
if [[ $dry == yes && ! -f $work/runs/base-unet/model.safetensors ]]; then
  echo "== base-flow: it starts from the finished regression, so it cannot be timed before"
else
  train base-flow 40 --part "mean=$work/runs/base-unet"
fi
train base-crps 25
echo "runs: $work/runs"

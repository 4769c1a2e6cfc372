#!/usr/bin/env bash
# Trains the rows of the Topographic VAE one after the other and judges them.
#
#   tools/train_tvae.sh [--schedule fast|paper] [--mnist FOLDER] [--work FOLDER] [--seeds "1 2 3"] [--only NAME]
#                       [--accelerator auto|cpu|gpu] [--dry-run]
#
# `fast` is that of configs/tvae-*.yaml: about four minutes a row on one core. `paper` is the published one, 600,000 steps
# of gradient descent with momentum, for a GPU. Without --mnist only the rows of sprites are trained. All lies in the work
# folder: configs/ and runs/. Run it again to go on where it was cut short; give --only again for several rows.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
schedule=fast mnist="" work=tvae seeds=1 only="" accelerator=auto dry=no
while (($#)); do
  case $1 in
    --schedule) schedule=$2; shift 2 ;;
    --mnist) mnist=$2; shift 2 ;;
    --work) work=$2; shift 2 ;;
    --seeds) seeds=$2; shift 2 ;;
    --only) only="$only $2"; shift 2 ;;
    --accelerator) accelerator=$2; shift 2 ;;
    --dry-run) dry=yes; shift ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
[[ $schedule == fast || $schedule == paper ]] || { echo "there is no schedule '$schedule': fast or paper" >&2; exit 2; }

ondee=${ONDEE:-$root/.venv/bin/ondee}
command -v "$ondee" > /dev/null || ondee=ondee
python=${PYTHON:-$(dirname "$(command -v "$ondee")")/python}
mkdir -p "$work/configs" "$work/runs"
work=$(cd "$work" && pwd)
[[ -z $mnist ]] || mnist=$(cd "$mnist" && pwd)

# A row with another seed or schedule, as a configuration of its own.
derived() { # NAME SEED
  local made=$work/configs/$1-seed$2.yaml
  sed "s/^seed:.*/seed: $2/" "$root/configs/$1.yaml" > "$made"
  if [[ $schedule == paper ]]; then
    sed -i -e '/^steps:/d' -e '/^rate:/d' -e '/^precision:/d' -e '/^threads:/d' -e '/_every:/d' "$made"
    cat >> "$made" <<'YAML'
steps: 600000
rate: 1.0e-4
optimiser: sgd
schedule: constant
ema: 0
precision: "32"
validate_every: 30000
checkpoint_every: 10000
YAML
  fi
  echo "$made"
}

for seed in $seeds; do
  for place in "$root"/configs/tvae-{mnist,dsprites}-*.yaml; do
    name=$(basename "$place" .yaml) given=()
    [[ -z $only || " $only " == *" $name "* ]] || continue
    if [[ $name == tvae-mnist-* ]]; then
      [[ -n $mnist ]] || continue
      given=(--data "$mnist")
    fi
    [[ $dry == yes ]] && given+=(--dry-run)
    echo "== $name, seed $seed, $schedule schedule"
    "$ondee" train "$(derived "$name" "$seed")" "${given[@]}" --accelerator "$accelerator" \
      --out "$work/runs/$name-seed$seed"
  done
done
[[ $dry == yes ]] && exit
cd "$root"
"$python" -m benchmarks.tvae_rows "$work/runs" ${mnist:+--mnist "$mnist"} --name "$schedule" --images docs/images

#!/usr/bin/env bash
# Run on a graphics card everything that was written without one, in order of worth, within twelve minutes.
#
#   tools/card_check.sh OUT [DEVICE]
#
# OUT       folder for results; every step writes there as soon as it ends: NAME.log, its figures, and one line of steps.tsv
# DEVICE    cuda (default), or cpu for a dry run
# PYTHON    Python with PyTorch (default: python3)
# WHEELS    folder of wheels for what is missing; the machine needs no network
# OFFICIAL  copy of the official code, timed beside ours
# ROUNDS    rounds of the timings (default 3)
# SLOWER    factor on all time limits (default 1), for a dry run on a processor
# SECONDS_LEFT  time for everything (default 690)
#
# The machine needs PyTorch, Triton and CUDA, and nothing of this project. No step stops the others.
set -uo pipefail
out=${1:?usage: tools/card_check.sh OUT [DEVICE]}
device=${2:-cuda}
python=${PYTHON:-python3}
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root" || exit 1
left=${SECONDS_LEFT:-690}
began=$(date +%s)

if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$out/site" "$WHEELS"/*.whl || exit 1
    export PYTHONPATH="$out/site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 PORTRAIT_MODELS="$out/models"
printf 'step\tseconds\tresult\n' >"$out/steps.tsv"

# step NAME LIMIT COMMAND...: run a command for at most LIMIT seconds, and never beyond the time for everything
step() {
    local name=$1 limit=$(($2 * ${SLOWER:-1})) start code rest
    shift 2
    rest=$((left - ($(date +%s) - began)))
    if [ "$rest" -lt 15 ]; then
        printf '%s\t0\tno time left\n' "$name" >>"$out/steps.tsv"
        return
    fi
    [ "$limit" -le "$rest" ] || limit=$rest
    start=$(date +%s)
    timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1
    code=$?
    case $code in
        0) result=ok ;;
        124 | 137) result="stopped after $limit s" ;;
        *) result="failed ($code): $(tail -n 1 "$out/$name.log" | cut -c1-200)" ;;
    esac
    printf '%s\t%s\t%s\n' "$name" "$(($(date +%s) - start))" "$result" | tee -a "$out/steps.tsv"
}

half=fp16
[ "$device" != cpu ] || half=fp32  # half precision takes minutes on a processor

# bench NAME LIMIT ENGINES [OPTIONS]: time the networks
bench() {
    local name=$1 limit=$2 engines=$3
    shift 3
    # shellcheck disable=SC2086 # several engines
    step "$name" "$limit" "$python" tools/bench.py networks --device "$device" --engine $engines --rounds "${ROUNDS:-3}" \
        --json "$out/$name.json" --markdown "$out/$name.md" "$@"
}

step machine 30 "$python" -c "import torch, platform; print(platform.platform(), torch.__version__, torch.version.cuda)
import subprocess, sys
if '$device' == 'cuda':
    print(torch.cuda.get_device_name(), torch.cuda.get_device_capability())
    subprocess.run(['nvidia-smi'], check=False)"
step parity 60 "$python" tools/benching/parity.py "$device"
# What users get first: the plain networks, and the fast ones in every number type. Each row also tells how far its
# image is from that of the plain networks in float32.
bench plain_and_fast 120 "torch torch-fast" --precision "$half"
bench fast_bf16 60 "torch-fast" --precision bf16
step frame_graph 60 "$python" -m pytest -q -p no:cacheprovider tests/liveportrait/engines/test_frame_graph.py
if [ -n "${OFFICIAL:-}" ]; then
    bench against_official 120 "torch-fast" --precision "$half" --against "official=$OFFICIAL"
fi
step pipeline_torch_fast 60 "$python" tools/bench.py pipeline --device "$device" --engine torch-fast --made-up --runs 1 \
    --frames 60 --json "$out/pipeline_torch_fast.json"
bench fast_batch_8 60 "torch-fast" --precision "$half" --batch 8
bench onnx 90 "onnx"
bench tensorrt 150 "tensorrt" --precision "$half"
step live 45 "$python" tools/soak_live.py 0.5 --size 512
step pipeline_mesh 45 "$python" tools/bench.py pipeline --engine mesh --runs 1 --frames 60 --json "$out/pipeline_mesh.json"
bench fast_fp32 60 "torch-fast" --precision fp32
step ablation 120 "$python" tools/bench.py networks --device "$device" --engine torch-fast --precision "$half" --ablation \
    --rounds "${ROUNDS:-2}" --json "$out/ablation.json"
cat "$out/steps.tsv"

#!/bin/sh
# Answers like `ddpm` to the calls of the GPU folder, but computes nothing. If FAKE_FAIL is set, every call that contains
# it fails. The command FAKE_HANG takes a minute. FAKE_DEVICE is what `doctor` finds (default cpu), FAKE_RECORDS whether steps
# are recorded (default true), FAKE_WORST the largest error of a gradient (default 0.0). FAKE_ROLLBACKS has a word for each
# rollback of a training that diverges (default 5 words).
value() { # prints the last value of a flag: value FLAG WORDS
    flag=$1
    shift
    while [ $# -gt 0 ]; do
        [ "$1" = "$flag" ] && found=$2
        shift
    done
    echo "${found-}"
}

if [ -n "${FAKE_FAIL-}" ]; then
    case "$*" in
    *"$FAKE_FAIL"*)
        echo "error: planted in $1" >&2
        exit 1
        ;;
    esac
fi

[ "$1" != "${FAKE_HANG-}" ] || sleep 60

run=$(value --run "$@")
out=$(value --out "$@")
device=${FAKE_DEVICE:-cpu}
case $1 in
doctor)
    ok=true
    status=ok
    if [ "$(value --device "$@")" = cuda ] && [ "$device" = cpu ]; then
        ok=false
        status=FAIL
    fi
    echo "{\"ok\": $ok, \"device\": \"$device\", \"checks\": [{\"name\": \"device\", \"status\": \"$status\", \"found\": \"found 0 CUDA devices\"}]}"
    [ $ok = true ]
    ;;
train)
    case "$*" in
    *--dump-config*)
        echo '{"model": {"in_channels": 1, "image_size": 2}}'
        exit
        ;;
    *adam_eps*)
        case $(value --on-nan "$@") in
        skip) for step in 1 2 3 4 5 6 7 8 9 10; do echo "WARN skipping step $step: the loss is NaN" >&2; done ;;
        rollback) for _ in ${FAKE_ROLLBACKS:-1 2 3 4 5}; do echo "WARN back to step 0, with half of the learning rate" >&2; done ;;
        esac
        echo "error: training diverged: the loss is NaN at step 1" >&2
        exit 3
        ;;
    *"train.batch=2048"*"--batch auto"*) ;;
    *"train.batch=2048"*)
        echo "error: not enough memory for 2048 images" >&2
        exit 6
        ;;
    esac
    steps=$(echo "$* x" | sed -n 's/.*train\.steps=\([0-9]*\).*/\1/p')
    if [ -z "$steps" ]; then
        # The training without an end comes seven steps further in each call.
        newest=$(ls "$run/checkpoints" 2>/dev/null | sed -n '$s/step-0*//p')
        steps=$((${newest:-0} + 7))
        long=yes
    fi
    save() { # a checkpoint of a step
        folder="$run/checkpoints/$(printf 'step-%08d' "$1")"
        mkdir -p "$folder"
        echo "weights of $1" >"$folder/model.safetensors"
    }
    mkdir -p "$run"
    trap 'save $steps; echo "{\"loss\": 0.5, \"images_per_s\": 9}" >>"$run/metrics.jsonl"; exit 130' INT
    if { [ "$steps" -gt 20 ] || [ -n "${long-}" ]; } && ! [ -d "$run/checkpoints" ]; then
        # Long runs wait to be stopped or killed.
        save 1
        case $run in
        */whole | */auto) ;;
        *) for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done ;;
        esac
    fi
    step=0
    while [ $step -lt 20 ]; do
        step=$((step + 1))
        echo "{\"step\": $step, \"loss\": 0.5, \"grad_norm\": 1.5, \"images_per_s\": 9}" >>"$run/metrics.jsonl"
    done
    save "$steps"
    echo '{"finished": true}'
    ;;
predict)
    # 16 numbers of f32 after a header of 128 bytes.
    {
        printf '\223NUMPY\001\000\166\000'
        printf "%-117s\n" "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 1, 2, 2), }"
        printf '%064d' 0
    } >"$out"
    ;;
sample)
    mkdir -p "$out"
    python3 - "$out/samples.npz" "$(value --seed "$@")" <<'PYTHON'
import sys, zipfile

pixels = bytes(value + 100 * int(sys.argv[2]) for value in (1, 2, 3, 4))
header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }".ljust(117) + "\n"
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    archive.writestr("images.npy", b"\x93NUMPY\x01\x00\x76\x00" + header.encode() + pixels)
PYTHON
    ;;
check-device)
    recordings=null
    if [ "$(value --device "$@")" = cuda ]; then
        recordings="{\"steps\": ${FAKE_RECORDS:-true}, \"losses\": 0.0, \"calls\": true, \"outputs\": 0.0}"
    fi
    worst=${FAKE_WORST:-0.0}
    echo "{\"gradients\": {\"tensors\": 7, \"relative\": 0.0, \"worst\": $worst, \"worst_tensor\": \"mid.weight\"}, \"recordings\": $recordings}"
    ;;
bench)
    echo '{"precision": "f32", "median_s": 0.5, "min_s": 0.4, "images_per_s": 2.0, "parameters": 7}'
    ;;
*)
    echo "error: no such command: $1" >&2
    exit 2
    ;;
esac

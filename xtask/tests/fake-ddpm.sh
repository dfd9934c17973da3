#!/bin/sh
# Answers like `ddpm` but computes nothing. Every call appends a line to `calls` beside this file. If a file `kill-ROW`
# exists, a training of that row stops half-way and the program that started it is killed.
here=$(dirname "$0")
echo "$*" >>"$here/calls"

value() { # prints the value of a flag: value FLAG WORDS
    flag=$1
    shift
    while [ $# -gt 0 ]; do
        [ "$1" = "$flag" ] && echo "$2"
        shift
    done
}

checkpoint() { # makes the checkpoint of a step
    mkdir -p "$run/checkpoints/$(printf 'step-%08d' "$1")"
    touch "$run/checkpoints/$(printf 'step-%08d' "$1")/manifest.json"
}

run=$(value --run "$@")
out=$(value --out "$@")
case $1 in
train)
    case $* in
    *train.no_such*--dump-config*) echo "error: configuration: train: unknown field \`no_such\`" >&2; exit 2 ;;
    *--dump-config*) echo "{\"words\": \"$*\"}"; exit ;;
    esac
    mkdir -p "$run"
    case $* in
    *--resume*) steps=$(cat "$run/steps") ;;
    *) steps=$(echo "$*" | sed 's/.*train\.steps=\([0-9]*\).*/\1/') ;;
    esac
    echo "$steps" >"$run/steps"
    printf '[train]\nbatch = 8\n' >"$run/config.toml"
    mkdir -p "$run/checkpoints"
    case $*/$run in
    */warm-up/*) ;;
    *train.lr=9*) touch "$run/diverges" ;;
    esac
    if [ -e "$run/diverges" ]; then
        echo 'error: the loss is not finite at step 3' >&2
        exit 3
    fi
    row=$(basename "$(dirname "$(dirname "$run")")")
    if [ -e "$here/kill-$row" ] && [ "${run#*/warm-up/}" = "$run" ]; then
        rm "$here/kill-$row"
        checkpoint $((steps / 2))
        kill -9 $PPID
        exit
    fi
    # 0.05 s per step.
    echo "{\"step\": 1, \"images_per_s\": 160}" >"$run/metrics.jsonl"
    echo "{\"step\": $steps, \"images_per_s\": 160}" >>"$run/metrics.jsonl"
    checkpoint "$steps"
    echo "{\"run\": \"$run\", \"finished\": true}"
    ;;
ema)
    mkdir -p "$out/step"
    echo "{\"out\": \"$out/step\", \"error\": 0.07}"
    ;;
evaluate)
    model=$(value --model "$@")
    case $*/ in
    *"--sampler ddmi"*) echo 'error: --sampler: unknown sampler "ddmi"' >&2; exit 2 ;;
    */no-run\ *) echo "error: --run $run: not a run folder" >&2; exit 2 ;;
    esac
    case $run$model in
    */poor/*) fd=30 ;;
    */good/seed-0/*) fd=10 ;;
    */good/seed-1/*) fd=12 ;;
    */good/*) fd=14 ;;
    */fair/*) fd=20 ;;
    *) fd=40 ;;
    esac
    [ -z "$model" ] || fd=$((fd + 1))
    case $* in
    *"--sampler heun"*) echo 'error: --sampler heun: not of this network' >&2; exit 2 ;;
    esac
    echo "{\"images\": 9, \"seconds\": 2, \"features\": {\"sha256\": \"f\"}, \"metrics\": [
        {\"name\": \"fd\", \"title\": \"FD\", \"reference\": \"train\", \"value\": $fd, \"low\": $((fd - 2)), \"high\": $((fd + 2)),
         \"better\": \"lower\"}]}" | tr -d '\n'
    echo
    ;;
bench)
    echo '{"min_s": 0.05, "batch": 64}'
    ;;
draw-ablation)
    cat >"$out"
    ;;
*)
    echo "error: no such command: $1" >&2
    exit 2
    ;;
esac

#!/bin/sh
# Answers like `ddpm` for `cargo xtask ship` and `finetune-demo`, but computes nothing. Every call appends a line to `calls`
# beside this file.
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

metric() { # metric NAME REFERENCE VALUE
    printf '{"name": "%s", "title": "%s", "reference": "%s", "value": %s, "low": %s, "high": null, "better": "lower"}' \
        "$1" "$1 of fakes" "$2" "$3" "$3"
}

run=$(value --run "$@")
out=$(value --out "$@")
case $1 in
export)
    [ -z "${FAKE_LARGE-}" ] || head -c 6000001 /dev/zero >"$out"
    [ -n "${FAKE_LARGE-}" ] || printf weights >"$out"
    echo '{"step": 300, "parameters": 77, "bytes": 7}'
    ;;
evaluate)
    case $* in
    *" --images "*)
        references="{\"part\": \"train\", \"data\": \"$here/secret:test\", \"images\": 9}"
        metrics=$(metric fd train 0.75)
        copying=null
        ;;
    *)
        references="{\"part\": \"train\", \"data\": \"$here/secret\", \"images\": 20}, {\"part\": \"test\", \"data\": \"x\", \"images\": 9}"
        metrics="$(metric fd train 4.5), $(metric fd test 5.5)"
        [ -z "${FAKE_NO_TEST-}" ] || metrics=$(metric fd train 4.5)
        copying='{"flagged": false, "share": 0.503, "p_value": 0.25, "alpha": 0.001}'
        ;;
    esac
    echo "{\"what\": \"$here\", \"images\": 12, \"seed\": 0, \"sampler\": \"dpmpp-2m\", \"steps\": 15, \"references\": [$references]," \
        "\"features\": {\"name\": \"fakes\", \"width\": 3, \"sha256\": null}, \"metrics\": [$metrics], \"copying\": $copying}"
    ;;
sample)
    mkdir -p "$out"
    printf picture >"$out/grid.png"
    echo '{"images": 80}'
    ;;
train)
    mkdir -p "$run/checkpoints"
    loss=0.5
    lr=0.0015
    case $* in *--init-from=shipped*) loss=0.25 && lr=0.0003 ;; esac
    base=32
    [ -z "${FAKE_OTHER_NETWORK-}" ] || [ $loss = 0.5 ] || base=64
    printf '[model]\nbase_channels = %s\n[schedule]\nkind = "straight"\n[train]\nbatch = 32\nlr = %s\n' $base $lr >"$run/config.toml"
    echo '{"step": 40, "images_per_s": 320}' >"$run/metrics.jsonl"
    for step in 5 10 40; do echo "{\"step\": $step, \"held_out_loss\": $loss}"; done >"$run/evaluations.jsonl"
    echo '{"steps": 40}'
    ;;
compare)
    mkdir -p "$out"
    printf pictures >"$out/02-samples.png"
    echo '{"figures": ["01-loss.png", "02-samples.png"]}'
    ;;
*)
    echo "error: no such command: $1" >&2
    exit 2
    ;;
esac

#!/bin/bash
# run.sh ROOT WORK: every part of the experiment with two steps of training each, and what must hold of models that learnt nothing: where
# no head reads another frame and no temporal embedding is trained, a video and its reverse get the same logits; merging changes no answer.
set -euo pipefail
root=${1:?usage: run.sh ROOT WORK} work=${2:?usage: run.sh ROOT WORK}
rm -rf "$work"
mkdir -p "$work"
bash "$root/examples/moving_shapes/run.sh" --smoke --out "$work" > "$work/log" 2>&1 || { tail -n 20 "$work/log" && exit 1; }

fail() {
    echo "$1" >&2
    cat "$work/tables.md" >&2
    exit 1
}
rows=$(grep -cv '^#' "$root/examples/moving_shapes/variants.txt")
ended=$(find "$work/seed-0" -name '*.json' ! -name '*.config.json' ! -name '*.merged.json' ! -name few_shot.json | wc -l)
[ "$ended" -eq "$rows" ] || fail "$ended models were judged, $rows expected"
[ -s "$work/chart.svg" ] || fail "no chart"
grep -q '^| 1 |' "$work/tables.md" || fail "no row of few shots"
# Columns: title, right, right but for the direction, direction, difference of a pair, merging, seeds.
awk -F' *[|] *' -v work="$work" '
    $2 == "head only" || $2 == "adapters only" {
        ++alike
        if ($6 + 0 > 1e-5) { print $2 ": a video and its reverse differ by " $6; bad = 1 }
        if ($5 != "50.0" && $4 + 0 > 0) { print $2 ": " $5 " % of the directions are right, 50 expected"; bad = 1 }
    }
    $2 ~ /^both/ { ++unlike; if ($6 + 0 < 1e-5) { print $2 ": a video and its reverse agree"; bad = 1 } }
    $7 ~ / answers, / { ++merged; split($7, part, " "); if (part[1] != 0) { print $2 ": merging changed " $7; bad = 1 } }
    END {
        if (alike < 2 || unlike < 1 || merged < 5) { print "rows are missing"; bad = 1 }
        exit bad
    }' "$work/tables.md" || fail "the tables are not as they must be"

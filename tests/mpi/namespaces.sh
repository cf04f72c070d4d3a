#!/bin/bash
# namespaces.sh MPIRUN PROGRAM DATA: training across two network namespaces, which reach each other by TCP only, as two
# machines do: the bits of one process; a link that is cut ends the job with a rank's name within 30 s.
# Ends with 77 where no namespace may be made. DATA is tests/data/training.
set -eu
mpirun=$1 program=$2 data=$3
command -v ip > /dev/null || { echo "skipped: no program ip (apt install iproute2)"; exit 77; }
id=z$$
if ! ip netns add $id-a 2> /dev/null; then
    echo "skipped: network namespaces cannot be made here"
    exit 77
fi
folder=$(mktemp -d)
cleanup() {
    for side in a b; do
        for process in $(ip netns pids $id-$side 2> /dev/null); do kill -9 "$process" 2> /dev/null || true; done
        ip netns del $id-$side 2> /dev/null || true
    done
    rm -rf "$folder"
}
trap cleanup EXIT
fail() { echo "namespaces: $1"; exit 1; }

ip netns add $id-b
if ! ip link add $id-va netns $id-a type veth peer name $id-vb netns $id-b 2> "$folder/log"; then
    echo "skipped: no pair of virtual interfaces: $(cat "$folder/log")"
    exit 77
fi
number=1
for side in a b; do
    ip -n $id-$side addr add 10.77.0.$number/24 dev $id-v$side
    ip -n $id-$side link set $id-v$side up
    ip -n $id-$side link set lo up
    number=$((number + 1))
done

# What mpirun starts its daemon on the other machine with, in place of ssh: agent HOST COMMAND...
mkdir "$folder/remote"
cat > "$folder/agent" << AGENT
#!/bin/bash
shift
export TMPDIR=$folder/remote
exec ip netns exec $id-b unshare --uts bash -c "hostname other; \$*"
AGENT
chmod +x "$folder/agent"

train() { # train OUT OPTION...
    echo train "$data/start.safetensors" "$data/train.safetensors" -o "$folder/$1" --config "$data/config.json" --batch 4 \
        --lr 1e-3 --seed 5 --quiet "${@:2}"
}
across() { # across RANKS WORD...
    ip netns exec $id-a "$mpirun" --mca plm_rsh_agent "$folder/agent" --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 \
        --mca oob_tcp_if_include 10.77.0.0/24 --bind-to none --host 10.77.0.1:2,10.77.0.2:2 -n "$1" --map-by node "$program" "${@:2}"
}

# shellcheck disable=SC2046
"$program" $(train alone --steps 20 --log "$folder/alone.log")
for ranks in 2 4; do
    # shellcheck disable=SC2046
    across $ranks $(train on$ranks --steps 20 --log "$folder/on$ranks.log") > "$folder/log" 2>&1 || fail "$ranks ranks: status $?: $(cat "$folder/log")"
    cmp "$folder/alone" "$folder/on$ranks" || fail "$ranks ranks: other bits"
    for name in alone on$ranks; do sed 's/,"seconds":[^}]*//' "$folder/$name.log" > "$folder/$name.steps"; done
    cmp "$folder/alone.steps" "$folder/on$ranks.steps" || fail "$ranks ranks: another log"
    [ "$(wc -l < "$folder/on$ranks.log")" -eq 20 ] || fail "$ranks ranks: not 20 steps"
done
bytes=$(ip -n $id-a -s -j link show $id-va | grep -o '"tx":{"bytes":[0-9]*' | grep -o '[0-9]*$')
[ "$bytes" -gt 1000000 ] || fail "only $bytes bytes went through the link"

# The ranks end; mpirun waits for its daemon behind the cut link until TCP gives up, a quarter of an hour.
# shellcheck disable=SC2046
across 2 $(train cut --steps 1000000 --checkpoint-every 1) > "$folder/log" 2>&1 &
job=$!
last_step() { # of the newest checkpoint; only the newest two are kept, so a given one may come and go unseen
    find "$folder" -name 'cut.ckpt-*' | sed 's/.*-//' | sort -n | tail -n 1
}
for _ in $(seq 300); do [ "$(last_step)" -ge 3 ] 2> /dev/null && break; sleep 0.1; done
[ "$(last_step)" -ge 3 ] 2> /dev/null || fail "fewer than 3 steps were done: $(cat "$folder/log")"
ranks_left() {
    for side in a b; do
        for process in $(ip netns pids $id-$side); do tr '\0' ' ' < "/proc/$process/cmdline" 2> /dev/null | grep -c "^$program " || true; done
    done | grep -c 1
}
[ "$(ranks_left)" -eq 2 ] || fail "$(ranks_left) ranks found"
ip -n $id-a link set $id-va down
cut=$SECONDS
while [ "$(ranks_left)" -gt 0 ]; do
    [ $((SECONDS - cut)) -le 30 ] || fail "ranks still there $((SECONDS - cut)) s after their link was cut: $(cat "$folder/log")"
    sleep 0.2
done
took=$((SECONDS - cut))
for process in $(ip netns pids $id-a); do kill -9 "$process" 2> /dev/null || true; done
wait $job || true
grep -q 'rank_lost\]: rank 1 (other' "$folder/log" || fail "nobody was named: $(cat "$folder/log")"
echo "namespaces: 2 and 4 ranks have the bits of one, $bytes bytes sent; $took s from a cut link to the end of both ranks: $(grep -o 'rank_lost\].*' "$folder/log" | head -n 1)"

#!/bin/bash
# The program, given videos and things that only look like videos, opens no connection and no file but the one named.
# usage: video_no_network.sh PROGRAM VIDEO          ends with 77 where there is no strace or it may not trace
set -u
program=$1
video=$2
strace -o /dev/null true 2> /dev/null || { echo "skipped: strace cannot be used here"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$video" "$folder/secret.mp4"
cp "$video" "$folder/plain.mp4"
printf '#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n%s/secret.mp4\n#EXT-X-ENDLIST\n' "$folder" > "$folder/hls.mp4"
printf 'ffconcat version 1.0\nfile %s/secret.mp4\n' "$folder" > "$folder/concat.mkv"
printf '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>%s/secret.mp4</BaseURL></MPD>\n' \
    "$folder" > "$folder/dash.avi"

failures=0
inputs=0
trace() { # trace COMMAND...: status in $status, forbidden calls in $bad
    strace -f -e trace=open,openat,openat2,socket,connect,execve -o "$folder/trace" "$@" 2> "$folder/errors"
    status=$?
    bad=$(grep -E 'socket\(|connect\(' "$folder/trace"; grep -F "$folder/secret.mp4\"" "$folder/trace" | grep -v execve)
}
look() { # look NAME EXPECTED-STATUS PATH
    inputs=$((inputs + 1))
    trace "$program" preprocess "$3" -o "$folder/out.safetensors" --preset clip-b16-k400-8f --quiet
    if [ "$status" -ne "$2" ] || [ -n "$bad" ]; then
        echo "$1: exit status $status, expected $2; forbidden calls: ${bad:-none}"
        cat "$folder/errors"
        failures=$((failures + 1))
    fi
}

# What must be seen is seen.
trace cat "$folder/secret.mp4" > /dev/null
[ -n "$bad" ] || { echo "the trace does not show that a file was opened"; exit 1; }
trace bash -c ': < /dev/tcp/127.0.0.1/9'
[ -n "$bad" ] || { echo "the trace does not show that a connection was tried"; exit 1; }

look video 0 "$folder/plain.mp4"
look hls 5 "$folder/hls.mp4"
look concat 5 "$folder/concat.mkv"
look dash 5 "$folder/dash.avi"
look http 5 http://127.0.0.1:9/secret.mp4
look concat_protocol 5 "concat:$folder/secret.mp4|$folder/secret.mp4x"
look subfile_protocol 5 "subfile,,start,0,end,100,,:$folder/secret.mp4x"
echo "$inputs inputs, $failures failed: no connection, no other file"
[ $failures -eq 0 ] && [ $inputs -eq 7 ]

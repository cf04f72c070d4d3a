#!/bin/bash
# make.sh: makes the small videos of this folder whose names begin with a codec, with Debian 12's ffmpeg, and frames.txt,
# which says how many frames ffprobe counts in each.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
f() { ffmpeg -v error -y -bitexact "$@"; }
moving=(-f lavfi -i testsrc2=size=64x48:rate=25:duration=1.2)
x265() { f "${moving[@]}" -c:v libx265 -x265-params "log-level=none:info=0:$1" "$2"; }
x264() { f "${moving[@]}" -c:v libx264 -x264-params "$1" "$2"; }

x264 keyint=10:open-gop=1:bframes=3 "$work/open.mp4"
x264 keyint=10:bframes=0 "$work/p.ts"
f "${moving[@]}" -c:v libx264 -x264-params keyint=12:bframes=3:b-pyramid=strict h264_pyramid.mkv
f "${moving[@]}" -c:v libx264 -flags +ildct+ilme -x264-params tff=1:keyint=12 h264_interlaced.mp4
f "${moving[@]}" -c:v libx264 -x264-params intra-refresh=1:keyint=10:bframes=0 h264_refresh.ts
f -ss 0.3 -i "$work/open.mp4" -c copy h264_cut.mp4
f -ss 0.5 -i h264_pyramid.mkv -c copy -avoid_negative_ts disabled h264_edit_list.mp4
x265 keyint=10:min-keyint=10:open-gop=1:bframes=3 "$work/open265.mp4"
f -i "$work/open265.mp4" -c copy "$work/open265.ts"
f -ss 0.5 -i "$work/open265.mp4" -c copy hevc_cut.mp4
f -ss 0.5 -i "$work/open265.mp4" -c copy hevc_cut.mkv
cat "$work/open265.ts" "$work/open265.ts" > hevc_joined.ts
x265 keyint=30:bframes=0 "$work/p265.ts"
f "${moving[@]}" -c:v mpeg2video -bf 2 -g 10 -q:v 8 mpeg2_open.mpg
f "${moving[@]}" -c:v mpeg2video -bf 2 -g 10 -q:v 8 "$work/open2.ts"
f "${moving[@]}" -c:v mpeg2video -flags +ildct+ilme -bf 2 -g 10 -q:v 8 mpeg2_interlaced.ts
f -ss 0.5 -i mpeg2_open.mpg -c copy mpeg2_cut.mpg
cat "$work/open2.ts" "$work/open2.ts" > mpeg2_joined.ts
f "${moving[@]}" -c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -b:v 100k vp8_hidden.webm
f "${moving[@]}" -c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -b:v 100k vp9_hidden.webm
f "${moving[@]}" -c:v libaom-av1 -cpu-used 8 -b:v 100k av1_hidden.mp4
f "${moving[@]}" -c:v libxvid -bf 2 -q:v 8 mpeg4_packed.avi
f "${moving[@]}" -c:v mpeg4 -bf 2 -q:v 8 -bsf:v mpeg4_unpack_bframes mpeg4.avi
for name in p p265; do # from the second packet of the transport stream's pictures on
    size=$(stat -c %s "$work/$name.ts")
    dd if="$work/$name.ts" of="$work/mid_$name.ts" bs=188 skip=$((size / 188 / 3)) status=none
done
cp "$work/mid_p.ts" h264_begins_between.ts
cat "$work/p.ts" "$work/mid_p.ts" > damaged_h264_joined_between.ts
cat "$work/p265.ts" "$work/mid_p265.ts" > damaged_hevc_joined_between.ts

for file in *.mp4 *.mkv *.ts *.mpg *.webm *.avi; do
    case $file in damaged_* | flipped.mp4 | no_index.mp4) continue ;; esac
    printf '%s %s\n' "$file" "$(ffprobe -v quiet -count_frames -select_streams v:0 -show_entries stream=nb_read_frames -of csv=p=0 "$file" | head -1 | tr -d ,)"
done > frames.txt

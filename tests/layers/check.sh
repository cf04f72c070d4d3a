#!/bin/bash
# check.sh ROOT: judges the includes and the form of every header and source of the library under ROOT.
# One line per violation, exit 1 if there is any, exit 2 if there was nothing to judge.
#   * layers: a header includes its own folder and lower layers only; the leaves are included by nobody but themselves
#   * rooms of io: a header includes its own room and lower ones only; a header in no room may include all of them
#   * each dependency stands in one place: xsimd and intrinsics in simd/, Eigen in nn/merge*.hpp and interop/,
#     nlohmann-json nowhere, FFmpeg in video/ffmpeg.hpp and video/ffmpeg/, CUDA and MPI nowhere else than in cuda/ and mpi/
#   * no header of the library includes the umbrella; the umbrella lists every header from core to train, sorted, but *_impl.hpp
#   * a file of tests/ that a comment names is there; in a pattern * stands for any letters
#   * every header begins with a comment that says what it is, has #pragma once, and at most 400 lines or a comment with
#     the words "over 400 lines" that says why
set -u
root=${1:?usage: check.sh ROOT}
cd "$root" || exit 2

files=$(find include/zeroi2v src -name '*.hpp' -o -name '*.cpp' -o -name '*.cuh' -o -name '*.cu' 2>/dev/null | LC_ALL=C sort)
[ -n "$files" ] || { echo "layers: no file under $root/include/zeroi2v"; exit 2; }

# shellcheck disable=SC2086
awk '
function fail(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; bad = 1 }
function folder_of(path,   parts) { split(path, parts, "/"); return parts[1] }
function room_of(path,   parts) { return split(path, parts, "/") > 2 ? parts[2] : "" }
function finish() {
    if (previous == "") return
    if (is_header) {
        if (!once) { printf "%s: no #pragma once\n", previous; bad = 1 }
        if (lines > 400 && !reason) { printf "%s: %d lines and no comment with \"over 400 lines\" that says why\n", previous, lines; bad = 1 }
    }
}
BEGIN {
    level["core"] = 0; level["tensor"] = 1; level["simd"] = 2; level["parallel"] = 2; level["ops"] = 3; level["stdha"] = 3
    level["nn"] = 4; level["model"] = 5; level["train"] = 6
    # What a leaf may include beyond core to train and itself.
    leaf["io"] = ""; leaf["video"] = ""; leaf["interop"] = ""; leaf["dispatch"] = ""; leaf["cuda"] = "dispatch"; leaf["mpi"] = ""
    room["files"] = 0; room["json"] = 1; room["keys"] = 1; room["safetensors"] = 2; room["torch"] = 2; room["checkpoints"] = 3; room["train"] = 4
    room[""] = 5
}
FNR == 1 {
    finish()
    previous = FILENAME; once = 0; reason = 0; lines = 0
    is_umbrella = FILENAME == "include/zeroi2v/zeroi2v.hpp"
    is_header = FILENAME ~ /^include\//
    path = FILENAME; sub(/^include\/zeroi2v\//, "", path); sub(/^src\//, "", path)
    folder = folder_of(path)
    if (is_header && !is_umbrella && !(folder in level) && !(folder in leaf)) fail("folder " folder " is no layer and no leaf")
    if (folder == "io" && !(room_of(path) in room)) fail(room_of(path) " is no room of io")
    if (is_header && $0 !~ /^\/\/ ?[A-Za-z]/) fail("the first line does not say what the file is")
}
{ lines = FNR }
/\/\/.*tests\// {
    for (rest = $0; match(rest, /tests\/[A-Za-z0-9_\/.*]*[A-Za-z0-9_]/); rest = substr(rest, RSTART + RLENGTH)) {
        named = substr(rest, RSTART, RLENGTH)
        if (system("test -n \"$(ls -d " named " 2> /dev/null)\"") != 0) fail(named " does not exist")
    }
}
/^#pragma once/ { once = 1 }
/\/\/.*over 400 lines/ { reason = 1 }
/(^|[^A-Za-z0-9_])_mm(256|512)?_[a-z]/ || /__m(128|256|512)/ { if (folder != "simd") fail("intrinsic outside simd/") }
/^[ \t]*#[ \t]*(if|elif).*__(AVX|SSE|FMA|F16C)/ { if (folder != "simd") fail("question about the instruction set outside simd/") }
/^[ \t]*#[ \t]*include/ {
    if ($0 ~ /#[ \t]*include[ \t]*"/) { if (is_header || $0 ~ /zeroi2v\//) fail("include with quotes"); next }
    if (!match($0, /<[^>]+>/)) next
    what = substr($0, RSTART + 1, RLENGTH - 2)
    if (what ~ /^xsimd\// || what ~ /^[a-z0-9]*intrin\.h$/ || what == "arm_neon.h") { if (folder != "simd") fail("<" what "> outside simd/") }
    if (what ~ /^(Eigen|unsupported\/Eigen)\//) { if (path !~ /^nn\/merge[a-z_]*\.hpp$/ && folder != "interop") fail("<" what "> outside nn/merge*.hpp and interop/") }
    if (what ~ /^nlohmann\//) fail("<" what ">: no library needs it")
    if (what ~ /^lib(av|sw)[a-z]*\//) { if (path !~ /^video\/ffmpeg(\/[a-z_]+)?\.hpp$/) fail("<" what "> outside video/ffmpeg.hpp and video/ffmpeg/") }
    if (what ~ /^cuda|^cublas/) { if (folder != "cuda") fail("<" what "> outside cuda/") }
    if (what == "mpi.h") { if (folder != "mpi") fail("<mpi.h> outside mpi/") }
    if (what !~ /^zeroi2v\//) next
    target = what; sub(/^zeroi2v\//, "", target)
    if (target == "zeroi2v.hpp") { fail("the umbrella is for users only"); next }
    if ((getline ignored < ("include/" what)) < 0) fail("<" what "> does not exist")
    close("include/" what)
    to = folder_of(target)
    if (is_umbrella) {
        if (!(to in level)) fail("the umbrella includes the leaf <" what ">")
        if (target <= last_listed) fail("<" what "> is out of order or listed twice")
        last_listed = target
        listed[target] = 1
        next
    }
    if (folder == "io" && to == "io") {
        from = room_of(path); into = room_of(target)
        if (from != into && room[into] >= room[from]) fail("io/" from " includes <" what ">: not downward among the rooms of io")
    }
    if (to == folder) next
    if (to in leaf) {
        if (folder in leaf && index(" " leaf[folder] " ", " " to " ")) next
        fail(folder " includes the leaf <" what ">")
    } else if (folder in level && to in level && level[to] >= level[folder]) fail(folder " includes <" what ">: not downward")
}
END {
    finish()
    for (i = 1; i < ARGC; ++i) {
        name = ARGV[i]
        if (name !~ /^include\/zeroi2v\/[a-z]+\/.*\.hpp$/ || name ~ /_impl\.hpp$/) continue # definitions come with their header
        sub(/^include\/zeroi2v\//, "", name)
        if (folder_of(name) in level && !(name in listed)) { printf "include/zeroi2v/zeroi2v.hpp: <zeroi2v/%s> is missing\n", name; bad = 1 }
    }
    if (!bad) printf "layers: %d files, no violation\n", ARGC - 1
    exit bad
}' $files

#!/bin/bash
# check.sh ROOT: judges the documents of ROOT, README.md, CONTRIBUTING.md, CHANGELOG.md, docs/*.md and tests/data/README.md.
# One line per violation, exit 1 if there is any, exit 2 if there was nothing to judge.
#   * every code block names its language; C++ is spelled cpp
#   * every cpp block stands literally, at any one indentation, in a file that the build compiles: tests/snippets/*.cpp
#     or examples/*.cpp; every cuda block in a tests/snippets/*.cu, which builds with ZEROI2V_CUDA compile
#   * every relative link leads to a file
set -u
root=${1:?usage: check.sh ROOT}
cd "$root" || exit 2

documents=$(ls README.md CONTRIBUTING.md CHANGELOG.md docs/*.md tests/data/README.md 2>/dev/null)
sources=$(ls tests/snippets/*.cpp tests/snippets/*.cu examples/*.cpp 2>/dev/null)
[ -n "$documents" ] || { echo "documents: none under $root"; exit 2; }

# shellcheck disable=SC2086
awk -v sources="$sources" '
function fail(line, text) { printf "%s:%d: %s\n", FILENAME, line, text; bad = 1 }
# Whether the block stands in `text` with every line that is not empty moved right by `by` blanks.
function stands(text, by,   i, pad, moved) {
    pad = sprintf("%" by "s", "")
    moved = "\n"
    for (i = 1; i <= lines; ++i) moved = moved (line[i] == "" ? "" : pad line[i]) "\n"
    return index(text, moved) > 0
}
function judge_block(   i, by) {
    ++blocks
    for (i = 1; i <= source_count; ++i)
        if ((name[i] ~ /\.cu$/) == (language == "cuda"))
            for (by = 0; by <= 12; by += 4) if (stands(content[i], by == 0 ? "" : by)) return
    fail(begun, "this " language " block stands in no file of tests/snippets or examples")
}
function judge_links(text,   target, folder) {
    while (match(text, /\]\([^)]*\)/)) {
        target = substr(text, RSTART + 2, RLENGTH - 3)
        text = substr(text, RSTART + RLENGTH)
        sub(/#.*/, "", target)
        if (target == "" || target ~ /^[a-z]+:/) continue
        folder = FILENAME
        if (!sub(/\/[^\/]*$/, "/", folder)) folder = ""
        ++links
        if (system("test -e \"" folder target "\"") != 0) fail(FNR, "the link leads to " folder target ", which is not there")
    }
}
BEGIN {
    source_count = split(sources, name, "\n")
    for (i = 1; i <= source_count; ++i) {
        content[i] = "\n"
        while ((getline text < name[i]) > 0) content[i] = content[i] text "\n"
        close(name[i])
    }
}
FNR == 1 { if (inside) { print before ": a code block is not closed"; bad = 1 } inside = 0; before = FILENAME }
/^ *```/ {
    if (inside) {
        if (language == "cpp" || language == "cuda") judge_block()
        inside = 0
        next
    }
    inside = 1; begun = FNR; lines = 0
    match($0, /^ */) # a block inside a list is indented
    indent = RLENGTH
    language = substr($0, indent + 4)
    if (language == "") fail(FNR, "the code block names no language")
    if (tolower(language) ~ /^(c\+\+|cc|cxx|hpp|c)$/) fail(FNR, "the language of C++ is spelled cpp here")
    next
}
inside { line[++lines] = substr($0, 1, indent) ~ /^ *$/ ? substr($0, indent + 1) : $0; next }
{ judge_links($0) }
END {
    if (inside) { print before ": a code block is not closed"; bad = 1 }
    if (blocks == 0) { print "documents: no block of C++ found"; exit 2 }
    if (!bad) printf "documents: %d files, %d blocks of C++ and %d links, no violation\n", ARGC - 1, blocks, links
    exit bad
}' $documents

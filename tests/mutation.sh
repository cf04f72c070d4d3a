#!/bin/bash
# mutation.sh [--seed N] [--count N] [--folder NAME[,NAME...]] [--jobs N] [--list] [--self-test]: measures whether the unit tests notice
# changes of the headers. It draws COUNT (30) places of each folder of include/zeroi2v, changes one at a time, and runs the unit
# tests of that folder and of those that use it. One line for each change that no test noticed, and the score of each folder;
# build/mutation/report.txt has all. The same seed and sources give the same places; without --seed it is the day's.
#   --folder     only these; all folders with unit tests otherwise
#   --jobs       compilers and test programs at a time; one per processor otherwise
#   --list       the drawn places, without building anything: some of them do not compile and give way to the next
#   --self-test  the command itself, on a header and tests of its own
# A separate command, most of an hour for all folders: no part of tests/run.sh.
# Status 0 whatever the score; 1 where the unchanged tests do not build or do not pass; 2 for a wrong command line.
set -euo pipefail
cd "$(dirname "$0")/.."
. cmake/need_packages.sh
export PYTHONDONTWRITEBYTECODE=1
if [ "$*" = --self-test ]; then
    need_packages python3 g++ doctest-dev >&2
else
    need_packages python3 g++ cmake ninja-build pkg-config libxsimd-dev libeigen3-dev nlohmann-json3-dev doctest-dev \
        libavformat-dev libavcodec-dev libswscale-dev libavutil-dev >&2
fi
exec python3 tests/mutation/command.py "$@"

#!/bin/sh
# self_test.sh COMPILER FOLDER: check.sh must itself fail on each kind of wrong case. Writes into FOLDER.
set -u
[ $# -eq 2 ] || { echo "usage: self_test.sh COMPILER FOLDER"; exit 2; }
compiler=$1
folder=$2
check=$(dirname "$0")/check.sh
mkdir -p "$folder" || exit 2
failed=0

# expect STATUS NAME TEXT: check.sh on a file of this text ends with this status.
expect() {
    printf '%s\n' "$3" > "$folder/$2.cpp"
    sh "$check" "$compiler" "$folder/$2.cpp" "$folder" > "$folder/$2.log" 2>&1
    status=$?
    if [ $status -ne "$1" ]; then
        echo "$2: status $status, expected $1"
        cat "$folder/$2.log"
        failed=1
    fi
}

bad='static_assert(1 == 2, "one is two");'
guarded='#ifdef ZEROI2V_EXPECT_FAILURE
static_assert(1 == 2, "one is two");
#endif'
expect 0 sound "// expect: one is two
int twin;
$guarded"
expect 1 another_sentence "// expect: two is three
int twin;
$guarded"
expect 1 compiles "// expect: one is two
int twin;
#ifdef ZEROI2V_EXPECT_FAILURE
static_assert(1 == 1, \"one is two\");
#endif"
expect 1 broken_twin "// expect: one is two
int twin = nothing;
$guarded"
expect 2 no_sentence "int twin;
$guarded"
expect 2 no_guard "// expect: one is two
$bad"
exit $failed

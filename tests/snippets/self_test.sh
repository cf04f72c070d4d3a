#!/bin/bash
# self_test.sh FOLDER: the check of the documents passes a sound tree and fails, naming the place, on each single violation.
set -u
check=$(cd "$(dirname "$0")" && pwd)/check.sh
work=${1:?usage: self_test.sh FOLDER}
failures=0
cases=0

sound_tree() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/docs" "$work/tree/tests/snippets" "$work/tree/examples"
    printf '#include <a.hpp>\n\nvoid f() {\n    int x = 1;\n\n    use(x);\n}\n' > "$work/tree/tests/snippets/one.cpp"
    printf 'int main() { return 0; }\n' > "$work/tree/examples/two.cpp"
    printf '# Title\n\n```sh\nmake\n```\n\nSee [docs](docs/a.md#part) and [the net](https://example.org).\n' > "$work/tree/README.md"
    printf '```cpp\nint x = 1;\n\nuse(x);\n```\n\n```cpp\nint main() { return 0; }\n```\n\nBack to [README](../README.md).\n' > "$work/tree/docs/a.md"
}
expect() { # expect STATUS TEXT: the check ends with STATUS and prints TEXT
    local out status
    out=$(bash "$check" "$work/tree" 2>&1)
    status=$?
    cases=$((cases + 1))
    if [ $status -ne "$1" ] || [[ "$out" != *"$2"* ]]; then
        echo "self test: expected status $1 and \"$2\", got $status and: $out"
        failures=$((failures + 1))
    fi
}

sound_tree; expect 0 "2 files, 2 blocks of C++ and 2 links, no violation"
rm "$work/tree/README.md" "$work/tree/docs/a.md"; expect 2 "none under"
sound_tree; rm "$work/tree/docs/a.md"; sed -i 's/docs.a.md#part/README.md/' "$work/tree/README.md"; expect 2 "no block of C++"
sound_tree; sed -i 's/use(x)/use(y)/' "$work/tree/docs/a.md"; expect 1 "docs/a.md:1: this cpp block"                     # one letter
sound_tree; sed -i 's/use(x);/use(x)/' "$work/tree/docs/a.md"; expect 1 "docs/a.md:1: this cpp block"                    # one less
sound_tree; sed -i 's/^use(x);/  use(x);/' "$work/tree/docs/a.md"; expect 1 "docs/a.md:1: this cpp block"                # indented apart
sound_tree; sed -i 's/    use(x)/    again(); use(x)/' "$work/tree/tests/snippets/one.cpp"; expect 1 "docs/a.md:1: this" # the source moved on
sound_tree; rm "$work/tree/examples/two.cpp"; expect 1 "docs/a.md:7: this cpp block"
sound_tree; sed -i 's/^```sh/```/' "$work/tree/README.md"; expect 1 "README.md:3: the code block names no language"
sound_tree; sed -i '1s/cpp/c++/' "$work/tree/docs/a.md"; expect 1 "docs/a.md:1: the language of C++"
sound_tree; printf '* in a list:\n\n  ```cpp\n  int x = 1;\n\n  use(x);\n  ```\n' >> "$work/tree/README.md"; expect 0 "3 blocks of C++"
sed -i 's/^  use(x)/  use(y)/' "$work/tree/README.md"; expect 1 "README.md:10: this cpp block"
sound_tree; printf '```cuda\nint x = 1;\n```\n' >> "$work/tree/README.md"; expect 1 "README.md:8: this cuda block"          # in a .cpp only
cp "$work/tree/tests/snippets/one.cpp" "$work/tree/tests/snippets/one.cu"; expect 0 "3 blocks of C++"
rm "$work/tree/tests/snippets/one.cpp"; expect 1 "docs/a.md:1: this cpp block"                                         # in a .cu only
sound_tree; printf '```sh\nmake\n' >> "$work/tree/docs/a.md"; expect 1 "docs/a.md: a code block is not closed"
sound_tree; rm "$work/tree/docs/a.md"; printf '```cpp\nint x = 1;\n```\n' >> "$work/tree/README.md"; expect 1 "README.md:7: the link leads to docs/a.md"
sound_tree; sed -i 's/..\/README.md/README.md/' "$work/tree/docs/a.md"; expect 1 "docs/a.md:11: the link leads to docs/README.md"

rm -rf "$work/tree"
echo "self test of the check of the documents: $cases cases, $failures failed"
[ $failures -eq 0 ] && [ $cases -ge 18 ]

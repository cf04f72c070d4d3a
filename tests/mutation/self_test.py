"""The test of command.py and places.py: all changes of self_test/include, judged by self_test/sample.cpp."""
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import command
import places

HERE = pathlib.Path(__file__).resolve().parent
INCLUDE = HERE / "self_test/include"

# What must be among the changes, and how each must end: of those that overlap, the first one is judged.
EXPECTED = {
    "last - first => last + first": "does not compile",
    "52 * 7 => 52 + 7": "does not compile",
    "a < b => a <= b": "survived",
    "x < y => x <= y": "unreached",
    "!small_ => true": "survived",
    "x * 2 => x + 2": "killed",
    "value + 1 => value": "killed",
    "value_ > 10 && !small_ => value_ > 10 || !small_": "killed",
    "value_ > 10 => value_ >= 10": "killed",
    "10 => 10 + 1": "killed",
    "!small_ => static_cast<bool>(small_)": "killed",
    "std::max(both[0], both[1]) => std::min(both[0], both[1])": "killed",
    "0 => 0 + 1": "killed",
    "value != 7 => true": "killed",
    "value < 0 => false": "killed",
    "value < 0 => value <= 0": "killed",
    "value_ = value; => (dropped)": "killed",
    "i < of.size() => i + 1 < of.size()": "killed",
    "of[i] != wanted => of[i] == wanted": "killed",
    "continue; => (dropped)": "killed",
    "++result; => (dropped)": "killed",
    "sum += large ? 3 : 1 => sum -= large ? 3 : 1": "killed",
    "a, b => b, a": "unreached",
    "less(a, b) => true": "unreached",
    "a < b => false": "killed",
}
# What must stay: types, what the compiler computes, what only a message says.
UNCHANGED = ["sizeof", "most", "4 + 4", "value - 5", "1 + 1 =>", "throw", "T, ", "kind", "found"]


class Wrong(Exception):
    pass


def expect(condition, sentence):
    if not condition:
        raise Wrong(sentence)


def drawn(seed, count):
    of, headers = command.draw(["sample"], count, seed, INCLUDE, lambda folder: [HERE / "self_test/sample.cpp"])
    return [(p.begin, p.what()) for p in of["sample"]], of, headers


def judge_some(work):
    """[(change, verdict)] of the expected ones, the first ones first, that fit into one build."""
    _, _, headers = drawn(1, 1)
    order = list(EXPECTED)
    some = []
    for place in sorted((p for p in headers["sample/sample"].places if p.what() in EXPECTED), key=lambda p: order.index(p.what())):
        if all(place.end <= p.begin or p.end <= place.begin for p in some):
            some.append(place)
            place.number, place.folder, place.compiles = len(some), "sample", True
    compiler = os.environ.get("CXX", "g++")
    launcher = [w for w in [os.environ.get("CMAKE_CXX_COMPILER_LAUNCHER")] if w]
    plain = launcher + [compiler, "-std=c++20", "-O1", "-include", str(HERE / "mutant.hpp")]
    build = command.Build(work, INCLUDE, {"sample": some}, headers)
    changed = plain + ["-Wno-narrowing", "-Werror=vla", f"-I{build.include}"]
    sources = {"main.o": (plain, HERE.parent / "unit/main.cpp"), "switch.o": (plain, HERE / "mutant.cpp"), "sample.o": (changed, HERE / "self_test/sample.cpp")}
    command.in_parallel(lambda output: build.compile(sources[output][0] + ["-o", output, "-c", str(sources[output][1])], output), sources)
    command.leave_out_what_cannot_run(build, work, list(sources))
    subprocess.run([compiler] + list(sources) + ["-o", "unit_sample"], cwd=work, check=True)
    program = command.Program("sample", work / "unit_sample", len(some), work)
    chosen, _ = command.choose({"sample": some}, len(some), {})
    command.judge(chosen["sample"], {"sample": ["sample"]}, {"sample": program})
    return [(p.what(), "does not compile" if not p.compiles else "killed" if p.killed else "survived" if p.reached else "unreached") for p in some]


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="zeroi2v-mutation-"))
    try:
        expect(drawn(1, 12)[0] == drawn(1, 12)[0], "one seed gave two draws")
        expect(drawn(1, 12)[0] != drawn(2, 12)[0], "two seeds gave one draw")
        _, of, _ = drawn(1, 1000)
        taken = sorted((p.begin, p.end) for p in of["sample"])
        expect(all(a[1] <= b[0] for a, b in zip(taken, taken[1:])), "two drawn changes overlap")

        every = [p.what() for p in drawn(1, 1)[2]["sample/sample"].places]
        for what in EXPECTED:
            expect(what in every, f"{what}: no such change")
        for what in every:
            for word in UNCHANGED:
                expect(word not in what, f"{what}: must stay as it is")
        verdicts = judge_some(work)
        for what, verdict in verdicts:
            expect(verdict == EXPECTED[what], f"{what}: {verdict} found, {EXPECTED[what]} expected")
        expect({verdict for _, verdict in verdicts} == set(EXPECTED.values()), f"not every verdict among {verdicts}")

        # A known equivalent change is not counted.
        of = drawn(1, 1000)[1]
        place = of["sample"][0]
        chosen, same = command.choose(of, 1000, {(place.header, place.line_text, place.what()): "the reason"})
        expect(place not in chosen["sample"] and same["sample"] == [(place, "the reason")], "an equivalent change is counted")

        # Tests that fail without any change end the command.
        try:
            command.Program("false", pathlib.Path(shutil.which("false")), 1, work)
            raise Wrong("a program that fails without any change was taken")
        except command.Failure:
            pass
        for arguments in (["--folder", "nowhere"], ["--count", "0"], ["--seed", "x"], ["more"]):
            done = subprocess.run([sys.executable, str(HERE / "command.py")] + arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            expect(done.returncode == 2, f"{arguments}: status {done.returncode} found, 2 expected")
    except Wrong as wrong:
        print(f"mutation self-test: {wrong}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work)
    print("mutation self-test: passed")
    return 0

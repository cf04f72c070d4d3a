"""What tests/mutation.sh runs: draws changes, builds them all into one set of unit tests, and runs the tests once per change.

  draw     places.py finds the places of a folder's headers; `seed` orders them
  build    one copy of the headers has every drawn change behind a question to mutant.hpp; the unit tests are compiled against it.
           A change that does not compile is taken out, and only what failed is compiled again: an object that has the change
           compiled in behaves as one without, since nobody turns it on. So are those that this machine cannot run: the other
           branch of an #if, another instruction set. `count` changes stay, in the order of the draw.
  reach    the tests run once without any change and must pass; each test case notes the changes that it reaches
  run      one run per change and program, of the test cases that reach it: killed by a failed check, an exception, a signal, or
           ten times the time; survived otherwise
"""
import argparse
import array
import concurrent.futures
import datetime
import json
import os
import pathlib
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import places

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/mutation"
WORK = ROOT / "build/mutation"

# The programs that judge a folder's changes: unit_<name>, its own first, then those that use the folder.
JUDGES = {
    "core": ["core", "tensor", "ops", "nn", "io"],
    "tensor": ["tensor", "ops", "nn", "io"],
    "simd": ["simd", "ops", "dispatch"],
    "parallel": ["parallel", "model", "program"],
    "ops": ["ops", "dispatch", "nn", "model", "golden"],
    "stdha": ["stdha", "nn", "model"],
    "nn": ["nn", "model", "golden"],
    "model": ["model", "golden", "io"],
    "train": ["train"],
    "io": ["io", "damage"],
    "video": ["video", "program"],
    "interop": ["interop"],
    "cuda": ["cuda"],
}
# What /proc/cpuinfo calls the instruction set of src/dispatch/kernels_<name>.cpp.
FLAGS = {"sse2": "sse2", "avx2": "avx2", "avx512": "avx512f", "avx512vnni": "avx512_vnni", "avx512bf16": "avx512_bf16", "amx": "amx_tile"}
JOBS = os.cpu_count()
ADDRESS_SPACE = 16 << 30 # a change may ask for any amount of memory


class Failure(Exception):
    pass


def say(text):
    print(f"[{time.monotonic() - STARTED:4.0f} s] {text}", file=sys.stderr, flush=True)


# ---- drawing ---------------------------------------------------------------------------------------------------------------


def headers_of(folder, include, sources):
    """The headers of a folder that its unit tests include, by way of others or not: no test can notice a change of others."""
    seen, queue = set(), list(sources)
    while queue:
        text = queue.pop().read_text()
        for name in re.findall(r'(?m)^[ \t]*#[ \t]*include[ \t]*[<"](zeroi2v/[^>"]+)', text):
            if name not in seen and (include / name).exists():
                seen.add(name)
                queue.append(include / name)
    names = sorted(n for n in seen if n.startswith(f"zeroi2v/{folder}/") and n.endswith(".hpp"))
    return [places.Header(n[len("zeroi2v/"):-len(".hpp")], (include / n).read_text()) for n in names]


def read_equivalent(path):
    """Blocks of four lines: header, the line's text, the change, the reason; blank lines and lines with # stand between."""
    result, block = {}, []
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            block.append(places.one_line(line))
            if len(block) == 4:
                result[tuple(block[:3])] = block[3]
                block = []
    if block:
        raise Failure(f"{path}: a block of {len(block)} lines at the end, expected 4: header, line, change, reason")
    return result


def draw(folders, count, seed, include, sources_of):
    """Half as many again as are wanted, and the equivalent ones: those that do not compile are found later."""
    drawn, headers = {}, {}
    for folder in folders:
        found = headers_of(folder, include, sources_of(folder))
        headers.update({h.name: h for h in found})
        drawn[folder] = places.draw(found, count + count // 2 + 6, random.Random(f"{seed}/{folder}"))
    number = 0
    for folder in folders:
        for place in drawn[folder]:
            number += 1
            place.number, place.folder, place.compiles = number, folder, True
    return drawn, headers


# ---- building --------------------------------------------------------------------------------------------------------------


class Build:
    """The unit tests of one copy of the headers."""

    def __init__(self, work, include, drawn, headers):
        self.work, self.headers = work, headers
        self.include = work / "include"
        self.by_header = {}
        for folder in drawn.values():
            for place in folder:
                self.by_header.setdefault(place.header, []).append(place)
        self.lock = threading.Lock()
        shutil.rmtree(self.include, ignore_errors=True)
        shutil.copytree(include, self.include)
        for header in self.by_header:
            self.write(header)

    def write(self, header):
        path = self.include / f"zeroi2v/{header}.hpp"
        text = places.rewrite(self.headers[header].text, [p for p in self.by_header[header] if p.compiles])
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)

    def drop(self, errors):
        """Takes out the changes that the compiler's words point at; False where they point at none."""
        dropped = 0
        for chunk in re.split(r"(?m)^(?=\S+:\d+:\d+: (?:fatal )?error: )", errors):
            named = re.findall(r"(?m)(\S+?):(\d+):\d+: +(error|\w[^\n]*)", chunk)
            for only in ("error", None): # the line of the error itself, else every line that its notes name
                hit = 0
                for path, line, what in named:
                    if only and what != only or str(self.include) not in path:
                        continue
                    name = str(pathlib.Path(path).resolve().relative_to(self.include / "zeroi2v"))[:-len(".hpp")]
                    for place in self.by_header.get(name, []):
                        if place.first_line <= int(line) <= place.last_line:
                            hit += 1
                            if place.compiles:
                                place.compiles = False
                                dropped += 1
                                self.write(name)
                if hit:
                    break
        return dropped

    def compile(self, command, output):
        """One source, again and again without the changes that fail."""
        (self.work / output).parent.mkdir(parents=True, exist_ok=True)
        before = None
        for _ in range(40):
            done = subprocess.run(command, cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, errors="replace", env={**os.environ, "LC_ALL": "C"})
            if done.returncode == 0:
                return
            with self.lock:
                # Another source may have taken them out meanwhile: the same words a second time are a failure.
                if self.drop(done.stderr) == 0 and before == done.stderr:
                    break
            before = done.stderr
        raise Failure(f"does not compile: {' '.join(command[-1:])}\n" + "\n".join(done.stderr.splitlines()[:60]))


def in_parallel(work, tasks):
    """work(task) for all of them, JOBS at a time; the first failure ends it."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def configure(work):
    """CMake says how each source of the unit tests is compiled, and Ninja how each is linked."""
    folder = work / "cmake"
    folder.mkdir(parents=True, exist_ok=True)
    log = work / "configure.log"
    with open(log, "w") as out:
        status = subprocess.run(
            ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
             "-DZEROI2V_UNITY_BUILD=ON", "-DZEROI2V_BUILD_TESTS=ON", "-DZEROI2V_BUILD_EXAMPLES=OFF", "-DZEROI2V_BUILD_BENCHMARKS=OFF"],
            stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "CXX": os.environ.get("CXX", "g++")}).returncode
    if status != 0:
        raise Failure(f"configuring failed (whole log: {log})\n" + log.read_text()[-2000:])
    return json.loads((folder / "compile_commands.json").read_text())


def mutated_command(words, include, changed_include):
    """The same command with the changed headers, no optimisation for speed, and nothing refused that we do not ask about."""
    result = []
    for word in words:
        if word in (f"-I{include}", "-O3", "-O2") or word.startswith("-W"):
            if word.startswith("-I"):
                result.append(f"-I{changed_include}")
            continue
        result.append(word)
    return result[:-4] + ["-O1", "-Wno-narrowing", "-Werror=vla", "-include", str(HERE / "mutant.hpp")] + result[-4:]


def build_programs(build, programs, include, work):
    entries = configure(work)
    tasks, objects = [], {name: [] for name in programs + ["main", "dispatch"]}
    for entry in entries:
        words = shlex.split(entry["command"])
        output = words[words.index("-o") + 1]
        found = re.match(r"tests/CMakeFiles/unit_(\w+)\.dir/|src/dispatch/CMakeFiles/zeroi2v_(dispatch)\.dir/", output)
        name = found and (found.group(1) or found.group(2))
        if not found or name not in objects:
            continue
        key = "library" if found.group(2) else name
        objects.setdefault(key, []).append(output)
        command = mutated_command(words, include, build.include)
        tasks.append((-pathlib.Path(words[-1]).stat().st_size - (1 << 20) * bool(found.group(2)), command, output))
    switch = next(command for _, command, output in tasks if "unit_main.dir" in output)
    tasks.append((0, switch[:-3] + ["switch.o", "-c", str(HERE / "mutant.cpp")], "switch.o"))
    say(f"compiling {len(tasks)} sources of {len(programs)} programs")
    in_parallel(lambda task: build.compile(task[1], task[2]), sorted(tasks))

    leave_out_what_cannot_run(build, work, [output for _, _, output in tasks])
    library = work / "src/dispatch/libzeroi2v_dispatch.a"
    if objects.get("library"):
        library.unlink(missing_ok=True)
        subprocess.run(["ar", "qc", str(library)] + objects["library"], cwd=work, check=True)
    for name in programs:
        lines = subprocess.run(["ninja", "-C", str(work / "cmake"), "-t", "commands", f"unit_{name}"], check=True, stdout=subprocess.PIPE,
                               text=True).stdout.splitlines()
        words = shlex.split(lines[-1].replace(": && ", "").replace(" && :", ""))
        subprocess.run(words + ["switch.o"], cwd=work, check=True)


def leave_out_what_cannot_run(build, work, objects):
    words = pathlib.Path("/proc/cpuinfo").read_text().split()
    has = {name for name, flag in FLAGS.items() if flag in words}
    everywhere, here = set(), set()
    for output in objects:
        section = work / "section"
        section.unlink(missing_ok=True)
        subprocess.run(["objcopy", "-O", "binary", "--only-section=.mutants", str(work / output), str(section)], check=True)
        numbers = set(array.array("i", section.read_bytes() if section.exists() else b""))
        kernels = re.search(r"/kernels_(\w+)\.cpp", output)
        everywhere |= numbers
        if not kernels or kernels.group(1) in has:
            here |= numbers
    for of in build.by_header.values():
        for place in of:
            if place.number in everywhere - here or (place.in_branch and place.number not in everywhere):
                place.compiles = False


# ---- running ---------------------------------------------------------------------------------------------------------------


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def run(program, arguments, environment, limit, output=subprocess.DEVNULL):
    """The status, or None past `limit` seconds; what the program leaves behind is removed."""
    with tempfile.TemporaryDirectory(prefix="zeroi2v-mutation-") as folder:
        process = subprocess.Popen([str(program)] + arguments, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   env={**os.environ, "TMPDIR": folder, **environment}, preexec_fn=limits, start_new_session=True)
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


class Program:
    """A unit test program, and what its unchanged run told: the test cases, their seconds, the changes that each reaches."""

    def __init__(self, name, path, most, work):
        self.path, record = path, work / f"reach-{name}"
        cases = pathlib.Path(f"{record}.cases")
        cases.unlink(missing_ok=True)
        log = work / f"unit_{name}.log"
        with open(log, "w") as out:
            status = run(path, [], {"ZEROI2V_MUTANT_RECORD": str(record), "ZEROI2V_MUTANT_COUNT": str(most)}, 3600, out)
        if status != 0:
            raise Failure(f"unit_{name} fails without any change: status {status} (whole log: {log})\n" + log.read_text()[-3000:])
        self.seconds, self.reach, self.outside = {}, {}, set()
        with open(record, "rb") as file:
            def row(number):
                file.seek(number * (most + 1))
                return {i for i, reached in enumerate(file.read(most + 1)) if reached}
            self.outside = row(0)
            for line in cases.read_text().splitlines():
                number, seconds, case = line.split("\t", 2)
                self.seconds[case] = self.seconds.get(case, 0) + float(seconds)
                for place in row(int(number)):
                    self.reach.setdefault(place, []).append(case)
        record.unlink()

    def reaches(self, number):
        return number in self.reach or number in self.outside

    def notices(self, number):
        """Whether a test case fails with the change on; the quick ones are asked first."""
        cases = set(self.seconds) if number in self.outside else set(self.reach.get(number, []))
        quick = [c for c in cases if self.seconds[c] < 0.2]
        slow = [c for c in cases if self.seconds[c] >= 0.2]
        for some in (quick, slow):
            if not some:
                continue
            names = ",".join(c.replace("\\", "\\\\").replace(",", "\\,") for c in sorted(some))
            limit = 10 + 10 * sum(self.seconds[c] for c in some)
            if run(self.path, ["--abort-after=1", "--case-sensitive=true", f"--test-case={names}"], {"ZEROI2V_MUTANT": str(number)}, limit) != 0:
                return True
        return False


def judge(chosen, judges, programs):
    """Sets `killed` and `reached` of every place."""
    finished = 0
    lock = threading.Lock()

    def work(place):
        nonlocal finished
        asked = [programs[name] for name in judges[place.folder] if programs[name].reaches(place.number)]
        place.reached = bool(asked)
        place.killed = any(program.notices(place.number) for program in asked)
        with lock:
            finished += 1
            if finished % 25 == 0:
                say(f"{finished} of {len(chosen)} changes judged")

    in_parallel(work, chosen)


def choose(drawn, count, equivalent):
    """Of each folder the first `count` that compile and are not known to be equivalent, and the equivalent ones among them."""
    chosen, same = {}, {}
    for folder, all_of in drawn.items():
        chosen[folder], same[folder] = [], []
        for place in all_of:
            if not place.compiles or len(chosen[folder]) == count:
                continue
            reason = equivalent.get((place.header, place.line_text, place.what()))
            if reason:
                same[folder].append((place, reason))
            else:
                chosen[folder].append(place)
    return chosen, same


def report(chosen, same, seed, path):
    lines, table = [], []
    for folder, of in chosen.items():
        for place in of:
            if not place.killed:
                lines.append(f"{place.header} {place.line}:{place.column} {place.what()}{'' if place.reached else ' (UNREACHED)'}")
    for folder, of in chosen.items():
        killed = sum(p.killed for p in of)
        table.append(f"{folder:10} {killed}/{len(of)}  {100 * killed / max(len(of), 1):3.0f} %"
                     + (f"  and {len(same[folder])} equivalent" if same[folder] else ""))
    every = [p for of in chosen.values() for p in of]
    killed = sum(p.killed for p in every)
    table.append(f"{'all':10} {killed}/{len(every)}  {100 * killed / max(len(every), 1):3.0f} %  seed {seed}")
    print("\n".join(lines + table))
    with open(path, "w") as out:
        out.write("\n".join(lines + [""] + table) + "\n\n")
        for folder, of in chosen.items():
            for place in of:
                verdict = "killed" if place.killed else "survived" if place.reached else "unreached"
                out.write(f"{verdict:9} {place.header} {place.line}:{place.column} {place.what()}\n          {place.line_text}\n")
            for place, reason in same[folder]:
                out.write(f"{'the same':9} {place.header} {place.line}:{place.column} {place.what()}\n          {reason}\n")


# ---- the command -----------------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(prog="tests/mutation.sh", allow_abbrev=False)
    parser.add_argument("--seed", type=int, default=int(datetime.date.today().strftime("%Y%m%d")), help="the day's by default")
    parser.add_argument("--count", type=int, default=30, help="changes of each folder (30)")
    parser.add_argument("--folder", action="append", default=[], help="folders of include/zeroi2v, separated by commas")
    parser.add_argument("--jobs", type=int, default=JOBS, help="compilers and test programs at a time (one per processor)")
    parser.add_argument("--list", action="store_true", help="only lists what is drawn")
    parser.add_argument("--self-test", action="store_true", help="tests this command")
    options = parser.parse_args()
    if options.self_test:
        import self_test
        return self_test.main()
    folders = [name for names in options.folder for name in names.split(",") if name] or list(JUDGES)
    for name in folders:
        if name not in JUDGES:
            parser.error(f"--folder: {name!r} found, one of {', '.join(JUDGES)} expected")
    if options.count < 1:
        parser.error(f"--count: {options.count} found, 1 at least expected")
    if options.jobs < 1:
        parser.error(f"--jobs: {options.jobs} found, 1 at least expected")
    globals()["JOBS"] = options.jobs
    os.nice(10) # an hour of work that nobody waits for
    folders = list(dict.fromkeys(folders))
    include = ROOT / "include"
    drawn, headers = draw(folders, options.count, options.seed, include, lambda f: sorted((ROOT / f"tests/unit/{f}").rglob("*.[ch]pp")))
    equivalent = read_equivalent(HERE / "equivalent.txt")
    if options.list:
        for of in drawn.values():
            for place in of:
                print(f"{place.header} {place.line}:{place.column} {place.what()}")
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    programs = sorted({name for folder in folders for name in JUDGES[folder]})
    build = Build(WORK, include, drawn, headers)
    build_programs(build, programs, include, WORK)
    chosen, same = choose(drawn, options.count, equivalent)
    say("the tests without any change")
    most = max(p.number for of in drawn.values() for p in of)
    told = {}

    def record(name):
        told[name] = Program(name, WORK / f"tests/unit_{name}", most, WORK)

    in_parallel(record, programs)
    every = [p for of in chosen.values() for p in of]
    say(f"{sum(1 for of in drawn.values() for p in of if not p.compiles)} changes do not compile or run here; {len(every)} are judged")
    judge(every, JUDGES, told)
    say("done")
    report(chosen, same, options.seed, WORK / "report.txt")
    return 0


STARTED = time.monotonic()
if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, subprocess.CalledProcessError) as failure:
        print(f"tests/mutation.sh: {failure}", file=sys.stderr)
        sys.exit(1)

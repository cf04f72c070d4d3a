"""Places of a C++ header that may be changed, found by its tokens; the compiler has the last word on each.

The reader relies on the layout that .clang-format gives: a binary operator has a space on both sides, and the < of a template
has none before it.
"""
import re

TOKEN = re.compile(r"""
    (?P<space>\s+) | (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<string>(?:u8|[uUL])?R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"|(?:u8|[uUL])?"(?:\\.|[^"\\\n])*")
  | (?P<char>(?:u8|[uUL])?'(?:\\.|[^'\\\n])+')
  | (?P<number>\.?[0-9](?:[eEpP][+-]|'?[\w.])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<mark_>\<=\>|->\*|\.\.\.|<<=|>>=|::|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)
""", re.VERBOSE | re.DOTALL)

PRECEDENCE = {"*": 10, "/": 10, "%": 10, "+": 9, "-": 9, "<<": 8, ">>": 8, "<=>": 8, "<": 7, ">": 7, "<=": 7, ">=": 7,
              "==": 6, "!=": 6, "&": 5, "^": 4, "|": 3, "&&": 2, "||": 1}
ASSIGN = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}
COMPARE = {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)}
ARITHMETIC = {"+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&": "|", "|": "&", "^": "|"}
ASSIGN_CHANGE = {"+=": ("-=", "="), "-=": ("+=",), "*=": ("+=", "="), "/=": ("*=",), "|=": ("=", "&="), "&=": ("=", "|="),
                 "^=": ("=",), "<<=": (">>=",), ">>=": ("<<=",), "%=": ("+=",)}
STOP = {"(", "[", "{", ",", ";", "?", ":", "return", "throw", "else", "case", "do", "co_return", "co_yield"} | ASSIGN
HEADER = {"if", "for", "while", "switch", "constexpr", "catch"}
KEYWORDS = HEADER | {"return", "throw", "else", "case", "do", "using", "auto", "const", "static", "delete", "new", "break",
                     "continue", "default", "goto", "try", "struct", "class", "enum", "union", "typedef", "template", "sizeof",
                     "static_assert", "typename", "operator", "extern", "inline", "constexpr", "static_cast", "requires"}
# What follows these in parentheses is no run-time expression, or none that a release build has.
UNEVALUATED = {"static_assert", "sizeof", "alignof", "alignas", "decltype", "noexcept", "typeid", "requires", "ZEROI2V_ASSERT",
               "asm", "__asm__", "volatile", "__builtin_constant_p"}


class Place:
    """One change: source text [begin, end) becomes a choice between itself and `changed`."""

    def __init__(self, header, line, begin, end, original, changed, form, constant):
        self.header, self.line, self.begin, self.end = header, line, begin, end
        self.original, self.changed, self.form, self.constant = original, changed, form, constant
        self.number = 0
        self.parts = None

    def what(self):
        return f"{one_line(self.original)} => {one_line(self.changed) or '(dropped)'}"

    def text(self):
        on = f"::zeroi2v_mutant::on{'_constexpr' if self.constant else ''}({self.number})"
        changed = one_line(self.changed)
        if self.form == "statement":
            return f"if ({on}) {{}} else {self.original}"
        if self.form == "swap":
            first, between, second = self.parts
            return f"({on} ? ({one_line(second)}) : ({first})){between}({on} ? ({one_line(first)}) : ({second}))"
        if self.form == "condition":
            return f"({on} ? {changed} : static_cast<bool>({self.original}))"
        return f"({on} ? ({changed}) : ({self.original}))"


def one_line(text):
    return " ".join(text.split())


class Header:
    """A header's tokens, brackets and function bodies, and the places in them."""

    def __init__(self, name, text):
        self.name, self.text = name, text
        self.places = []
        self.read_tokens()
        self.match_brackets()
        self.excluded = [False] * len(self.token)
        self.regions = []
        self.find_functions(0, len(self.token))
        for begin, end, constant in self.regions:
            self.exclude(begin, end)
            self.find_places(begin, end, constant)

    def read_tokens(self):
        text = re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: re.sub(r"[^\n]", " ", m.group()), self.text)
        self.in_branch, depth = set(), 0 # the lines between #if and #endif
        for number, line in enumerate(self.text.split("\n"), 1):
            word = re.match(r"[ \t]*#[ \t]*(if|endif)", line)
            depth += 0 if not word else 1 if word.group(1) == "if" else -1
            if depth:
                self.in_branch.add(number)
        self.token, self.kind, self.at, self.to, self.before, self.after = [], [], [], [], [], []
        spaced = True
        for m in TOKEN.finditer(text):
            if m.lastgroup in ("space", "comment"):
                spaced = True
                if self.after:
                    self.after[-1] = True
                continue
            self.token.append(m.group())
            self.kind.append("op" if m.lastgroup == "mark_" else "string" if m.group("string") else m.lastgroup)
            self.at.append(m.start())
            self.to.append(m.end())
            self.before.append(spaced)
            self.after.append(False)
            spaced = False
        self.line_of = [0] * len(self.token)
        line, position = 1, 0
        for i, at in enumerate(self.at):
            line += self.text.count("\n", position, at)
            position = at
            self.line_of[i] = line

    def match_brackets(self):
        self.match, self.parent, open_ = {}, [None] * len(self.token), []
        pairs = {")": "(", "]": "[", "}": "{"}
        for i, t in enumerate(self.token):
            if self.kind[i] != "op":
                self.parent[i] = open_[-1] if open_ else None
                continue
            if t in pairs:
                if not open_ or self.token[open_[-1]] != pairs[t]:
                    raise ValueError(f"{self.name}:{self.line_of[i]}: unmatched {t}")
                j = open_.pop()
                self.match[i], self.match[j] = j, i
            self.parent[i] = open_[-1] if open_ else None
            if t in pairs.values():
                open_.append(i)
        self.angle = {}
        for i, t in enumerate(self.token):
            if t == "<" and i and (not self.before[i] or self.token[i - 1] == "template") and self.token[i - 1] != "operator":
                self.match_angle(i)

    def match_angle(self, i):
        depth, j = 0, i
        while j < len(self.token):
            t = self.token[j]
            if t in ("(", "[", "{"):
                j = self.match[j]
            elif t == "<" and (not self.before[j] or self.token[j - 1] == "template"):
                depth += 1
            elif t in (">", ">>", ">=", ">>=") and not (self.before[j] and self.after[j]):
                depth -= 2 if t.startswith(">>") else 1
                if depth <= 0:
                    self.angle[i] = j
                    self.angle.setdefault(-j, i) # of two that end in one >> the outer
                    return
            elif t in (";", ")", "]", "}"):
                return
            j += 1

    # ---- functions -----------------------------------------------------------------------------------------------------

    def find_functions(self, i, end):
        start, words, called, colon = i, [], False, None
        while i < end:
            t = self.token[i]
            if i in self.angle:
                i = self.angle[i] + 1
                continue
            if t == ";":
                i += 1
                start, words, called, colon = i, [], False, None
                continue
            if t in ("(", "["):
                if t == "(" and (not words or words[-1] not in UNEVALUATED | {"explicit"}):
                    called = True
                words.append(t)
                i = self.match[i] + 1
                continue
            if t == ":" and words and words[-1] in ("public", "private", "protected"):
                i += 1
                start, words, called, colon = i, [], False, None
                continue
            if t == ":" and called and colon is None and words[-1] != "?":
                colon = i
            if t == "{":
                close = self.match[i]
                previous = self.token[i - 1]
                if "namespace" in words or (words[:1] == ["extern"] and not called):
                    self.find_functions(i + 1, close)
                elif "requires" in words and (previous == "requires" or (previous == ")" and self.token[self.match[i - 1] - 1] == "requires")):
                    i = close + 1
                    continue
                elif any(w in words for w in ("enum", "concept")):
                    pass
                elif any(w in words for w in ("class", "struct", "union")) and not called:
                    self.find_functions(i + 1, close)
                elif called and ("=" not in words or "operator" in words):
                    if colon is not None and (self.kind[i - 1] == "name" or previous == ">"):
                        i = close + 1
                        continue
                    if "consteval" not in words:
                        self.regions.append((colon if colon is not None else i, close, "constexpr" in words))
                else:
                    i = close + 1 # the value of a variable
                    continue
                i = close + 1
                start, words, called, colon = i, [], False, None
                continue
            words.append(t)
            i += 1

    def exclude(self, begin, end):
        def mark(a, b):
            for k in range(a, b):
                self.excluded[k] = True

        for i in range(begin, end):
            t = self.token[i]
            if i in self.angle:
                mark(i, self.angle[i] + 1)
            elif t == "[" and self.token[i + 1] == "[":
                mark(i, self.match[i] + 1)
            elif t in UNEVALUATED and self.token[i + 1] == "(":
                mark(i, self.match[i + 1] + 1)
            elif t == "constexpr" and self.token[i + 1] == "(":
                mark(i, self.match[i + 1] + 1)
            elif t in ("constexpr", "using", "throw", "static_assert", "enum") or (t == "case"):
                mark(i, self.end_of(i, end, ":" if t == "case" else ";"))
            elif t in ("asm", "__asm__"):
                mark(i, self.end_of(i, end, ";"))

    def end_of(self, i, end, what):
        while i < end and self.token[i] != what and self.token[i] not in (")", "]", "}"):
            i = self.match[i] + 1 if self.token[i] in ("(", "[", "{") else i + 1
        return min(i + 1, end) if i < end and self.token[i] == what else i

    # ---- operands ------------------------------------------------------------------------------------------------------

    def binary(self, i):
        return self.token[i] in PRECEDENCE and self.kind[i] == "op" and self.before[i] and self.after[i] and i not in self.angle

    def left(self, i, precedence, low):
        """The first token of the operand that ends before token i."""
        j = i - 1
        while j >= low:
            t = self.token[j]
            if t in (")", "]", "}") and self.kind[j] == "op":
                o = self.match[j]
                before = self.token[o - 1]
                if t == ")" and before in HEADER:
                    break
                if t == "}" and not (self.kind[o - 1] == "name" and before not in KEYWORDS) and before not in (">", ")"):
                    break
                j = o - 1
                continue
            if -j in self.angle:
                j = self.angle[-j] - 1
                continue
            if t in STOP and self.kind[j] != "string":
                break
            if self.binary(j) and PRECEDENCE[t] < precedence:
                break
            j -= 1
        return j + 1

    def right(self, i, precedence, high):
        """One past the last token of the operand that begins after token i."""
        j = i + 1
        while j < high:
            t = self.token[j]
            if t in ("(", "[", "{") and self.kind[j] == "op":
                j = self.match[j] + 1
                continue
            if j in self.angle:
                j = self.angle[j] + 1
                continue
            if self.kind[j] == "op" and (t in (")", "]", "}") or t in STOP):
                break
            if self.binary(j) and PRECEDENCE[t] <= precedence:
                break
            j += 1
        return j

    def right_of_assignment(self, i, high):
        """The same for the operator of an assignment: a choice behind it is part of its operand."""
        j = i + 1
        while j < high:
            t = self.token[j]
            if t in ("(", "[", "{") and self.kind[j] == "op":
                j = self.match[j] + 1
            elif j in self.angle:
                j = self.angle[j] + 1
            elif self.kind[j] == "op" and t in (")", "]", "}", ",", ";"):
                break
            else:
                j += 1
        return j

    def source(self, a, b):
        return self.text[self.at[a]:self.to[b - 1]] if b > a else ""

    def add(self, a, b, changed, form, constant, parts=None, anchor=None):
        if b <= a or any(self.excluded[k] for k in range(a, b) if k not in self.inside_angle):
            return
        original = self.source(a, b)
        if form != "statement" and (";" in original or "//" in original or "/*" in original or "{" in changed and ";" in changed):
            return
        if form == "statement" and "//" in original.split("\n", 1)[0] and "\n" in original:
            return
        if len(original) > 600 or one_line(original) == one_line(changed):
            return
        anchor = a if anchor is None else anchor
        place = Place(self.name, self.line_of[anchor], self.at[a], self.to[b - 1], original, changed, form, constant)
        place.column = self.at[anchor] - self.text.rfind("\n", 0, self.at[anchor])
        place.first_line, place.last_line = self.line_of[a], self.line_of[b - 1]
        place.line_text = one_line(self.text.split("\n")[place.line - 1])
        place.in_branch = place.line in self.in_branch
        place.parts = parts
        self.places.append(place)

    # ---- places --------------------------------------------------------------------------------------------------------

    def find_places(self, begin, end, constant):
        self.inside_angle = {k for i in self.angle for k in range(i, self.angle[i] + 1) if begin <= i < end}
        token = self.token
        for i in range(begin + 1, end):
            if self.excluded[i]:
                continue
            t, kind = token[i], self.kind[i]
            if kind == "number" and "." not in t[:1]:
                floating = bool(re.fullmatch(r"[0-9.']*(\.|[0-9][eE])[0-9.'eE+-]*[fFlL]?|0[xX][0-9a-fA-F.']*[pP].*", t))
                zero = bool(re.fullmatch(r"[0.]+[a-zA-Z]*", t))
                self.add(i, i + 1, f"{t} * 2" if floating and not zero else f"{t} + 1", "choice", constant)
            elif t in ("true", "false"):
                self.add(i, i + 1, "false" if t == "true" else "true", "choice", constant)
            elif self.binary(i):
                self.binary_places(i, begin, end, constant)
            elif t in ASSIGN_CHANGE and kind == "op":
                a, b = self.left(i, -1, begin + 1), self.right_of_assignment(i, end)
                for other in ASSIGN_CHANGE[t]:
                    self.add(a, b, f"{self.source(a, i)} {other} {self.source(i + 1, b)}", "choice", constant, anchor=i)
            elif t == "!" and kind == "op" and not self.after[i]:
                b = self.postfix(i + 1, end)
                self.add(i, b, f"static_cast<bool>({self.source(i + 1, b)})", "choice", constant)
            elif t == "?" and kind == "op":
                a = self.left(i, 0, begin + 1)
                for value in ("true", "false"):
                    self.add(a, i, value, "condition", constant)
            elif t in ("if", "while") and token[i + 1] == "(":
                self.condition_places(i, constant)
            elif t == "ZEROI2V_REQUIRE" and token[i + 1] == "(":
                b = self.right(i + 1, 0, end)
                if token[b] == ",":
                    self.add(i + 2, b, "true", "condition", constant)
            elif t in ("min", "max") and (token[i + 1] == "(" or i + 1 in self.angle):
                a = i - 2 if token[i - 1] == "::" and token[i - 2] == "std" else i
                open_ = i + 1 if token[i + 1] == "(" else self.angle[i + 1] + 1
                if token[open_] == "(" and token[a - 1] not in (".", "->", "::"):
                    b = self.match[open_] + 1
                    other = "max" if t == "min" else "min"
                    self.add(a, b, self.source(a, i) + other + self.source(i + 1, b), "choice", constant)
            if t == "(" and i and (self.kind[i - 1] == "name" or -(i - 1) in self.angle) and token[i - 1] not in KEYWORDS and token[i - 1] != "ZEROI2V_REQUIRE":
                self.swaps(i, constant)
            if self.parent[i] is not None and token[self.parent[i]] == "{" and self.begins_statement(i):
                self.statement_places(i, end, constant)

    def binary_places(self, i, begin, end, constant):
        t, p = self.token[i], PRECEDENCE[self.token[i]]
        a, b = self.left(i, p, begin + 1), self.right(i, p, end)
        left, right = self.source(a, i), self.source(i + 1, b)
        if t in COMPARE:
            up = self.parent[i]
            in_for = up is not None and self.token[up] == "(" and self.token[up - 1] == "for"
            if in_for and t in ("<", "!="): # one turn less: one more would read past the end, which need not show
                self.add(a, b, f"{left} + 1 {t} {right}", "choice", constant, anchor=i)
            else:
                for other in COMPARE[t]:
                    self.add(a, b, f"{left} {other} {right}", "choice", constant, anchor=i)
        elif t in ("&&", "||"):
            self.add(a, b, f"{left} {'||' if t == '&&' else '&&'} {right}", "choice", constant, anchor=i)
            neutral = "true" if t == "&&" else "false"
            self.add(self.left(i, p + 1, begin + 1), i, neutral, "condition", constant)
            self.add(i + 1, b, neutral, "condition", constant)
        elif t in ARITHMETIC and not any(self.kind[k] == "string" for k in range(a, b)):
            self.add(a, b, f"{left} {ARITHMETIC[t]} {right}", "choice", constant, anchor=i)
            if t not in ("<<", ">>"):
                self.add(a, b, left, "choice", constant, anchor=i)
                self.add(a, b, right, "choice", constant, anchor=i)

    def condition_places(self, i, constant):
        a, b = i + 2, self.match[i + 1]
        k = a
        while k < b:
            if self.token[k] in (";", "="):
                return
            k = self.match[k] + 1 if self.token[k] in ("(", "[", "{") else k + 1
        if b - a == 1 and self.kind[a] == "name" and self.token[a] in ("true", "false"):
            return
        self.add(a, b, "false", "condition", constant)
        after = self.token[b + 1]
        refuses = after in ("throw", "continue", "break") or (after == "{" and self.token[b + 2] == "throw")
        if self.token[i] == "if" and not refuses:
            self.add(a, b, "true", "condition", constant)

    def postfix(self, i, end):
        while i < end:
            if i in self.angle:
                i = self.angle[i] + 1
            elif self.token[i] in ("(", "["):
                i = self.match[i] + 1
            elif self.kind[i] in ("name", "number") or self.token[i] in ("::", ".", "->", "*"):
                i += 1
                if self.token[i] not in ("(", "[", "::", ".", "->") and i not in self.angle and self.token[i - 1] not in ("::", ".", "->", "*"):
                    break
                continue
            else:
                break
            if self.token[i] not in ("(", "[", "::", ".", "->"):
                break
        return i

    def swaps(self, open_, constant):
        if self.token[open_ - 1] in ("min", "max"):
            return # the same either way
        close = self.match[open_]
        parts, a = [], open_ + 1
        while a < close:
            b = self.right(a - 1, -1, close)
            if b >= close:
                b = close
            elif self.token[b] != ",":
                return
            parts.append((a, b))
            a = b + 1
        for (a, b), (c, d) in zip(parts, parts[1:]):
            first, second = self.source(a, b), self.source(c, d)
            if not first or not second or one_line(first) == one_line(second) or any(x in first + second for x in ("{", '"', "//")):
                continue
            if self.kind[b - 1] == "name" and b - a > 1 and self.kind[b - 2] == "name": # a parameter
                continue
            self.add(a, d, f"{second}, {first}", "swap", constant, parts=(first, self.text[self.to[b - 1]:self.at[c]], second))

    def begins_statement(self, i):
        previous = self.token[i - 1]
        if previous == "}" and self.token[i] == "(": # the call of a lambda that was just written
            return False
        if previous in (";", "{", "}", "else"):
            return not (previous == "{" and self.kind[i - 2] == "name" and self.token[i - 2] not in ("else", "do", "try", "const", "noexcept", "mutable"))
        return previous == ")" and self.token[self.match[i - 1] - 1] in HEADER

    def statement_places(self, i, end, constant):
        stop = self.end_of(i, end, ";")
        if self.token[stop - 1] != ";" or self.line_of[stop - 1] - self.line_of[i] > 6:
            return
        t = self.token[i]
        if t in ("break", "continue") or (t == "return" and self.token[i + 1] == ";"):
            self.add(i, stop, "", "statement", constant)
            return
        j = i
        while self.token[j] in ("*", "++", "--", "::"):
            j += 1
        if t in KEYWORDS or t.startswith("ZEROI2V_") or (self.kind[j] != "name" and self.token[j] != "("):
            return
        called = False
        while j < stop - 1:
            if j in self.angle:
                j = self.angle[j] + 1
            elif self.token[j] in ("(", "["):
                called = self.token[j] == "("
                j = self.match[j] + 1
            elif self.kind[j] == "name":
                if self.kind[j - 1] == "name" and j > i or self.token[j - 1] == ">" and j > i or self.token[j] in ("const",):
                    return # a declaration
                called = False
                j += 1
            elif self.token[j] in ("::", ".", "->"):
                j += 1
            elif self.token[j] in ("++", "--"):
                called = True
                j += 1
            else:
                break
        if (j == stop - 1 and (called or t in ("++", "--"))) or self.token[j] in ASSIGN:
            self.add(i, stop, "", "statement", constant)


def draw(headers, count, random):
    """Up to `count` places that do not overlap, in the order of the draw: a line of code first, then a change in it."""
    lines = {}
    for header in headers:
        for place in header.places:
            lines.setdefault((header.name, place.line), []).append(place)
    order = sorted(lines)
    random.shuffle(order)
    taken, result = {}, []
    for key in order:
        if len(result) == count:
            break
        place = random.choice(lines[key])
        others = taken.setdefault(place.header, [])
        if all(place.end <= begin or end <= place.begin for begin, end in others):
            others.append((place.begin, place.end))
            result.append(place)
    return result


def rewrite(text, places):
    for place in sorted(places, key=lambda p: -p.begin):
        text = text[:place.begin] + place.text() + text[place.end:]
    return text

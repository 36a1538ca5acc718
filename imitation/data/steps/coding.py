"""Whether a prompt asks for or about code; the study's human evaluation left such prompts out.

A list of words, not a classifier. It was made on the 429 typed prompts that come with the lab and
finds all 83 of type "Coding" there and no other. On prompts it was not made on: 7 of the 9 among
the 48 held-out style prompts, and no other; all 7 among Vicuna's 80 questions, and one more, on the
differences of two programming languages.
"""

from __future__ import annotations

import re

_LANGUAGES = (
    r"python|java|javascript|typescript|kotlin|golang|php|perl|matlab|haskell|scala|fortran|cobol"
    r"|sql|html|css|bash|powershell|node\.js|react\.js|pandas|numpy|pytorch|json|yaml|regex|docker"
    r"|git|github|linux|makefile"
)
_THINGS = (
    r"source code|pseudo ?-?code|code (?:snippet|review|block)|programming language"
    r"|(?:this|piece of|lines? of|my|the) code|regular expression|unit tests?|shell script"
    r"|stack trace|null pointer|pointers? in c|hash ?tables?|linked list|binary (?:search|tree)"
    r"|breadth-first|depth-first|bubble sort|big o notation|dynamic programming"
    r"|garbage collection|dependency injection|lambda functions?|recursion|recursive"
    r"|async(?:hronous)? (?:and await|function|code)|(?:rest|web) api|http (?:status|get|post)"
    r"|foreign keys?|floating[- ]point|environment variables?|merge conflict|deadlock|mvc pattern"
    r"|command[- ]line|web ?server|developers?|port \d{2,5}|caching|a url into the browser"
    r"|hashed with"
).replace(" ", r"\ ")
_MADE = r"function|program|algorithm|class|struct|method|quer(?:y|ies)|code|parser|loop"
_ASKED = re.compile(
    rf"""```                                   # a fenced block
      | `[^`\n]*[(_=][^`\n]*`                  # an expression between backticks
      | \b(?:{_LANGUAGES})\b
      | (?:\bC\+\+|\bC\#|\bF\#)
      | (?-i:\b(?:in|a)\ (?:C|Go|Rust|Ruby|Swift|R|Lua|Julia)\b)   # a name by its capital alone
      | \b(?:{_THINGS})\b
      | \b(?:write|implement|create|develop|fix|debug|refactor|optimi[sz]e|code|build)\b
        [^.?!\n]{{0,40}}\b(?:{_MADE})\b
      | \b(?:def|class|import|return|function)\ \w+[(:]        # code without any fence
      | \bfor\ \w+\ in\ [\w.]+\s*[:(]
      | \w+\.\w+\(
      | \w+Error\b
      | \bdesign\b[^.?!\n]{{0,20}}\btables\b
      | \b(?:process|processes)\b.{{0,20}}\bthreads?\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def asks_for_code(prompt: str) -> bool:
    """Whether a prompt asks for code, or about programming."""
    return _ASKED.search(prompt) is not None

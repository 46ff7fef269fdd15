"""The shop's Jenkins: what each job's builds do, and what was built in the last days."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from bot.local.jenkins.engine import Engine, branch_event
from bot.local.jenkins.model import (
    FREESTYLE,
    KEY,
    MULTIBRANCH,
    Agent,
    Build,
    Case,
    Cause,
    Commit,
    Folder,
    Job,
    Parameter,
    Step,
    now,
)

TAX = "com.acme.checkout.TaxTest.regionalTaxIsRounded"
REFUND = "tests.test_refunds.test_partial_refund_is_idempotent"
MARA, JONAS, PRIYA = "Mara Lindqvist", "Jonas Weber", "Priya Nair"

_GRADLE = ("com.acme.checkout.CartTotalTest.totalsAreSummed", TAX, "com.acme.checkout.VoucherTest.expiredIsRefused")
_PYTEST = ("tests.test_ledger.test_entries_balance", REFUND, "tests.test_webhooks.test_signature_is_checked")
_JEST = ("src/checkout/Button.test.tsx.Button › is disabled while paying", "src/app/App.test.tsx.App › renders")
_MAVEN = ("dev.acme.cart.CartTest.addsItems", "dev.acme.cart.RedisCartStoreTest.survivesFailover")


def commit(author: str, message: str, *paths: str, breaks: Sequence[str] = (), fixes: Sequence[str] = ()) -> Commit:
    """A commit that is made now; its id follows from what it says."""
    name = hashlib.sha1(f"{author}{message}{paths}".encode(), usedforsecurity=False).hexdigest()
    return Commit(name, author, message, paths, tuple(breaks), tuple(fixes))


def seed(engine: Engine) -> None:
    """Agents, folders, jobs and their history."""
    engine.agents += [Agent("linux-1", ("linux",)), Agent("linux-2", ("docker",))]
    shop = _into(engine.root, Folder("shop"))
    _checkout(engine, _into(shop, Folder("checkout", MULTIBRANCH)))
    _payments(engine, _into(shop, Folder("payments", MULTIBRANCH)))
    _single_jobs(engine, shop)


def _into(parent: Folder, child: Folder) -> Folder:
    child.parent = parent
    parent.children[child.name] = child
    return child


def _add(parent: Folder, job: Job) -> Job:
    parent.children[job.name] = job
    return job


def _days(engine: Engine, job: Job, history: Sequence[tuple[float, Commit | None]], parameters: dict[str, str]) -> None:
    """Builds of the past: so many hours ago, at a new commit or the one before once more."""
    for hours, new in history:
        if new is not None:
            job.commits.append(new)
        cause = branch_event(job) if new is not None else _by(PRIYA)
        engine.past(job, timedelta(hours=hours), cause, parameters)


def _by(name: str) -> Cause:
    user = name.split()[0].lower()
    return Cause("hudson.model.Cause$UserIdCause", f"Started by user {name}", {"userId": user, "userName": name})


def _checkout(engine: Engine, project: Folder) -> None:
    main = _add(project, Job("main", project, gradle, next_number=231))
    history = [
        (70.0, commit(JONAS, "Voucher codes are case-insensitive", "src/main/java/com/acme/checkout/Voucher.java")),
        (46.0, commit(MARA, "Upgrade to Gradle 8.14", "gradle/wrapper/gradle-wrapper.properties")),
        (22.0, commit(PRIYA, "Log the tax region", "src/main/java/com/acme/checkout/Tax.java")),
    ]
    _days(engine, main, history, {})
    branch = _add(project, Job("feature%2Fregional-taxes", project, gradle))
    tax = "src/main/java/com/acme/checkout/Tax.java"
    rounding = commit(
        MARA, "Round regional taxes half up", tax, "src/main/java/com/acme/checkout/Money.java", breaks=[TAX]
    )
    _days(engine, branch, [
        (9.0, commit(MARA, "Regional taxes: tables", "src/main/resources/taxes.csv")),
        (6.0, commit(MARA, "Regional taxes: lookup", tax)),
        (4.0, rounding),
        (2.0, commit(JONAS, "Spell out VAT in the receipt", "src/main/resources/receipt.ftl")),
    ], {})  # fmt: skip


def _payments(engine: Engine, project: Folder) -> None:
    key = Parameter(KEY, description="Who asked for this build: left empty by people")
    main = _add(project, Job("main", project, pytest, parameters=(key,), next_number=86))
    main.flaky = {REFUND: {88, 92}}
    history = [
        (75.0, commit(PRIYA, "Ledger entries carry the order id", "payments/ledger.py")),
        (60.0, commit(JONAS, "Retry webhooks with backoff", "payments/webhooks.py")),
        (48.0, commit(JONAS, "Type hints for the fraud client", "payments/fraud.py")),
        (47.5, None),  # the same commit again, and green: so the test was flaky
        (30.0, commit(PRIYA, "Drop the legacy currency table", "payments/currency.py")),
        (12.0, commit(MARA, "Refund reasons in the export", "payments/export.py")),
    ]
    _days(engine, main, history, {KEY: ""})


def _single_jobs(engine: Engine, shop: Folder) -> None:
    web = _add(shop, Job("web", shop, npm, label="docker", next_number=512))
    _days(engine, web, [(8.0, commit(JONAS, "Button says what it is waiting for", "src/checkout/Button.tsx"))], {})
    cart = _add(shop, Job("cart", shop, maven, kind=FREESTYLE, concurrent=False, next_number=77))
    _days(engine, cart, [
        (26.0, commit(PRIYA, "Redis 7 client", "pom.xml")),
        (5.0, commit(JONAS, "Survive a failover of Redis", "src/main/java/dev/acme/cart/RedisCartStore.java")),
    ], {})  # fmt: skip
    _add(shop, Job("nightly", shop, maven, kind=FREESTYLE, disabled=True))
    parameters = (
        Parameter("SERVICE", "Choice", "checkout", ("checkout", "payments", "web", "cart")),
        Parameter("VERSION", description="Tag of the image"),
        Parameter("TARGET", "Choice", "staging", ("staging", "production")),
        Parameter("DRY_RUN", "Boolean", "false"),
        Parameter("DEPLOY_TOKEN", "Password", "not-shown-anywhere"),
        Parameter(KEY),
    )
    deploy = _add(shop, Job("deploy", shop, deployment, parameters=parameters, concurrent=False, next_number=41))
    given = {
        "SERVICE": "web",
        "VERSION": "5.7.2",
        "TARGET": "staging",
        "DRY_RUN": "false",
        "DEPLOY_TOKEN": "x",
        KEY: "",
    }
    engine.past(deploy, timedelta(hours=7), _by(JONAS), given)
    engine.past(deploy, timedelta(hours=6), _by(JONAS), {**given, "TARGET": "production"})


# --- what a build does ----------------------------------------------------------------------------------------------------


def _cases(build: Build, tests: Sequence[str], trouble: str) -> tuple[list[Case], list[str]]:
    """The results of a build's tests at its commit, and the names of those that fail."""
    flaky = {name for name, numbers in build.job.flaky.items() if build.number in numbers}
    failing = (build.job.broken(build.commit) | flaky) & set(tests)
    cases = []
    for test in tests:
        class_name, _, name = test.rpartition(".")
        details = trouble if test in failing else ""
        trace = f"{trouble}\n\tat {test}({class_name.rpartition('.')[2]}.java:42)" if details else ""
        cases.append(Case(class_name, name, test in failing, details, trace))
    return cases, [test for test in tests if test in failing]


def _post(cases: Sequence[Case]) -> list[Step]:
    """What follows whatever came before: none of it is why a build failed."""
    stage = "Declarative: Post Actions"
    return [
        Step(stage, "junit", 0.3, ["Recording test results", "[Checks API] No suitable checks publisher found."],
             always=True, cases=tuple(cases)),
        Step(stage, "archiveArtifacts", 0.2, ["Archiving artifacts"], always=True),
        Step(stage, "cleanWs", 0.2, ["[WS-CLEANUP] Deleting project workspace...", "[WS-CLEANUP] Deferred wipeout is used...",
                                     "[WS-CLEANUP] done"], always=True),
    ]  # fmt: skip


def gradle(build: Build) -> list[Step]:
    """checkout: assemble, test, publish."""
    trouble = "org.opentest4j.AssertionFailedError: expected: <10.70> but was: <10.71>"
    cases, failing = _cases(build, _GRADLE, trouble)
    lines = ["> Task :compileJava UP-TO-DATE", "> Task :compileTestJava", ""]
    for test in failing:
        class_name, _, name = test.rpartition(".")
        lines += [f"{class_name} > {name}() FAILED", f"    {trouble}", f"        at {test}(TaxTest.java:42)", ""]
    total = f"{len(cases)} tests completed, {len(failing)} failed"
    failed = ["> Task :test FAILED", total, "", "FAILURE: Build failed with an exception.", "", "* What went wrong:"]
    failed += ["Execution failed for task ':test'.", "BUILD FAILED in 4s"]
    ending = failed if failing else ["BUILD SUCCESSFUL in 4s"]
    return [
        Step("Build", "sh", 1.0, ["> Task :assemble", "BUILD SUCCESSFUL in 2s"], "./gradlew --console=plain assemble"),
        Step("Test", "sh", 2.0, [*lines, *ending], "./gradlew --console=plain test",
             error="script returned exit code 1" if failing else ""),
        Step("Publish", "sh", 1.0, ["pushed registry.acme.dev/shop/checkout"], "./gradlew --console=plain jib"),
        *_post(cases),
    ]  # fmt: skip


def pytest(build: Build) -> list[Step]:
    """payments: install, test."""
    trouble = "AssertionError: assert 2 == 1"
    cases, failing = _cases(build, _PYTEST, trouble)
    names = [test.replace(".", "/", 1).replace(".", ".py::", 1) for test in failing]
    lines = ["." * (len(cases) - len(failing)) + "F" * len(failing) + "   [100%]"]
    if failing:
        lines += ["=================================== FAILURES ===================================",
                  "    assert len(refunds) == 1", f"E   {trouble}",
                  "=========================== short test summary info ============================",
                  *[f"FAILED {name} - {trouble}" for name in names],
                  f"{len(failing)} failed, {len(cases) - len(failing)} passed in 3.10s"]  # fmt: skip
    else:
        lines += [f"{len(cases)} passed in 3.02s"]
    return [
        Step("Install", "sh", 1.0, ["Successfully installed payments-3.1.0"], "pip install -e .[test]"),
        Step("Test", "sh", 2.0, lines, "python -m pytest -q --junitxml=report.xml",
             error="script returned exit code 1" if failing else ""),
        *_post(cases),
    ]  # fmt: skip


def npm(build: Build) -> list[Step]:
    """web: install, test, bundle."""
    cases, failing = _cases(build, _JEST, "expect(received).toBe(expected)")
    lines = [
        "PASS src/app/App.test.tsx",
        *[f"  ● {test.rpartition('.')[2]}" for test in failing],
        f"Tests: {len(cases)} total",
    ]
    return [
        Step("Install", "sh", 1.0, ["added 1204 packages in 21s"], "npm ci"),
        Step("Test", "sh", 3.0, lines, "npm test -- --ci", error="script returned exit code 1" if failing else ""),
        Step("Bundle", "sh", 1.0, ["dist/index.js 231 kB"], "npm run build"),
        *_post(cases),
    ]


def maven(build: Build) -> list[Step]:
    """cart: a freestyle job whose failing tests make it unstable, and whose compiler makes it fail."""
    cases, failing = _cases(build, _MAVEN, "expected:<3> but was:<2>")
    lines = ["[INFO] Scanning for projects...", "[INFO] --- surefire:3.2.5:test (default-test) @ cart ---"]
    lines += [f"[ERROR]   {'.'.join(test.split('.')[-2:])}:31 expected:<3> but was:<2>" for test in failing]
    lines += [
        f"[INFO] Tests run: {len(cases)}, Failures: {len(failing)}, Errors: 0, Skipped: 0",
        "[INFO] BUILD SUCCESS",
    ]
    return [
        Step("", "Invoke top-level Maven targets", 2.0, lines, "mvn -B -Dmaven.test.failure.ignore verify"),
        Step("", "junit", 0.3, ["Recording test results"], always=True, cases=tuple(cases)),
    ]


def deployment(build: Build) -> list[Step]:
    """deploy: check the image, roll it out. A version that was never pushed fails the check."""
    given = {"SERVICE": "checkout", "VERSION": "", "TARGET": "staging", **build.parameters}
    image = f"registry.acme.dev/shop/{given['SERVICE']}:{given['VERSION']}"
    missing = not given["VERSION"] or given["VERSION"].startswith("9.")
    look = [f"manifest for {image} not found: manifest unknown"] if missing else [f"{image}: found"]
    rollout = f"kubectl --context {given['TARGET']} -n shop set image deployment/{given['SERVICE']} app={image}"
    return [
        Step(
            "Check", "sh", 0.5, look, f"crane manifest {image}", error="script returned exit code 1" if missing else ""
        ),
        Step("Deploy", "sh", 3.0, [f"deployment.apps/{given['SERVICE']} image updated"], rollout),
        Step("Declarative: Post Actions", "echo", 0.1, [f"deployed at {now():%H:%M}"], always=True),
    ]

"""The laptop cloud as a whole: up, down, and how it stands."""

import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from marquee_cli.cloud import emulator, fit, posting, stack, stand_ins, upstreams
from marquee_cli.cloud.env_file import read_env_file
from marquee_cli.cloud.errors import CloudError, with_tail
from marquee_cli.cloud.fingerprint import fingerprint
from marquee_cli.cloud.home import Api, Home, Record, Service
from marquee_cli.cloud.ports import is_listening
from marquee_cli.cloud.processes import marked

PROJECT = Path(__file__).resolve().parents[3]
"""The checkout that this command belongs to."""

STACK_NAME = "marquee"
STAGE = "local"
SECRETS_PATH = f"/marquee/{STAGE}"

ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
"""Lambda's name for what the machine calls its processor."""

CLIENT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Status:
    """How a cloud stands."""

    is_up: bool
    record: Record
    emulator_runs: bool
    stand_ins_run: bool
    stack: stack.Stack | None


class Cloud:
    """A laptop cloud in a folder of its own; clouds in different folders run side by side."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        project: Path = PROJECT,
        env_file: Path | None = None,
        parameters: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """A cloud in `folder` (`.marquee/` of the project), with the keys of `env_file` (`.env`).

        `parameters` are put over the stack parameters that the laptop sets itself; `say` is told
        each thing that takes time.
        """
        self.home = Home(folder or project / ".marquee")
        self._project = project
        self._env_file = env_file or project / ".env"
        self._parameters = dict(parameters or {})
        self._say = say
        self._clients: dict[tuple[str, str], Any] = {}

    def up(self, *, after_kill: bool = False) -> Record:
        """Bring up whatever does not run yet and deploy whatever has changed.

        Raises CloudError with what to look at; also where the cloud was killed, has forgotten what
        it posted to the real X and would post it again, unless that is known (`after_kill`).
        """
        env = read_env_file(self._env_file)
        account = posting.account_of(env)
        chosen = {**upstreams.choose(env), posting.NAME: account.kind}
        with self.home.locked():
            stack.stop(self.home)
            before = self.home.read()
            self._check_posting(before, account)
            record = self._with_emulator(before, account, after_kill=after_kill)
            record = self._with_stand_ins(record, wanted=upstreams.STAND_IN in chosen.values())
            record = record.model_copy(update={"upstreams": chosen})
            self.home.write(record)
            self._put_secrets(upstreams.secrets(env))
            self._put_account(account, record, anew=record.emulator != before.emulator)
            stand_ins_url = record.stand_ins.url if record.stand_ins else None
            outputs = self._deploy(
                {
                    "Stage": STAGE,
                    "Architecture": _architecture(),
                    "AllowLoopbackWebhooks": "true",
                    **upstreams.parameters(env, stand_ins_url, posting=account.kind),
                    **posting.parameters(env, account, stand_ins_url),
                    **self._parameters,
                }
            )
            record = record.model_copy(
                update={"stack_name": STACK_NAME, "outputs": outputs, "api": self._api(outputs)}
            )
            self.home.write(record)
            return record

    def down(self) -> bool:
        """End every process of this cloud; whether there was one. Its data stay for the next `up`.

        Raises CloudError where a process cannot be ended.
        """
        while self._clients:
            self._clients.popitem()[1].close()
        if not self.home.folder.exists():
            return False
        with self.home.locked():
            running = marked(self.home.folder)
            stack.stop(self.home)
            emulator.stop(self.home, self.home.read().emulator)
            stand_ins.stop(self.home)
            shutil.rmtree(self.home.scratch, ignore_errors=True)
            return bool(running)

    def status(self) -> Status:
        """How this cloud stands now; changes nothing and waits for nobody."""
        record = self.home.read()
        emulator_runs = _runs(record.emulator) and emulator.is_healthy(self.home, self.endpoint_url)
        stand_ins_run = _runs(record.stand_ins)
        found = stack.describe(self.boto3("cloudformation"), STACK_NAME) if emulator_runs else None
        stand_ins_wanted = upstreams.STAND_IN in record.upstreams.values()
        return Status(
            is_up=bool(
                found
                and found.status in stack.UPDATABLE
                and record.api
                and (stand_ins_run or not stand_ins_wanted)
            ),
            record=record,
            emulator_runs=emulator_runs,
            stand_ins_run=stand_ins_run,
            stack=found,
        )

    @property
    def endpoint_url(self) -> str:
        """The emulator's address; raises CloudError where there never was one."""
        service = self.home.read().emulator
        if service is None:
            raise CloudError(f"No cloud has been up in {self.home.folder}: `marquee up` first.")
        return service.url

    def boto3(self, service: str) -> Any:
        """A boto3 client of the emulator, as its root user; `down` closes it."""
        key = (service, self.endpoint_url)
        if key not in self._clients:
            make_client: Any = boto3.client  # typed for literal names only
            self._clients[key] = make_client(
                service,
                endpoint_url=self.endpoint_url,
                region_name=emulator.REGION,
                aws_access_key_id=emulator.ROOT_CREDENTIALS["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=emulator.ROOT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
                config=Config(
                    connect_timeout=CLIENT_TIMEOUT_SECONDS,
                    read_timeout=CLIENT_TIMEOUT_SECONDS,
                    retries={"mode": "standard"},
                    proxies={},
                ),
            )
        return self._clients[key]

    def _with_emulator(
        self, record: Record, account: posting.Account, *, after_kill: bool
    ) -> Record:
        if _runs(record.emulator) and emulator.is_healthy(self.home, self.endpoint_url):
            return record
        self._say("Starting the emulator")
        emulator.stop(self.home, record.emulator)
        forgot = self.home.unsaved.exists() and record.stack_name
        if forgot and account.kind == upstreams.REAL and not after_kill:
            raise CloudError(
                "This cloud was killed, and has forgotten what it did since the last `marquee"
                f" down`: it would post again what it posted as @{account.name}. Look at that"
                " account; with WORKFLOW_ENABLE_AUTO_POSTING=false in .env you are asked before"
                " every post. Then: `marquee up --after-kill`."
            )
        last = [record.emulator.port] if record.emulator else []
        service = emulator.start(
            self.home,
            # -P: this package's modules are no part of the emulator's path.
            [self._project / ".venvs" / "emulator" / "bin" / "python", "-P", emulator.LAUNCHER],
            [*last, emulator.DEFAULT_PORT],
        )
        record = record.model_copy(update={"emulator": service})
        self.home.write(record)
        return record

    def _with_stand_ins(self, record: Record, *, wanted: bool) -> Record:
        if wanted and _runs(record.stand_ins):
            return record
        stand_ins.stop(self.home)
        if not wanted:
            return record.model_copy(update={"stand_ins": None})
        self._say("Starting the stand-ins")
        service = stand_ins.start(
            self.home,
            Path(sys.executable),
            [record.stand_ins.port] if record.stand_ins else [],
        )
        record = record.model_copy(update={"stand_ins": service})
        self.home.write(record)
        return record

    def _put_secrets(self, secrets: Mapping[str, str]) -> None:
        ssm = self.boto3("ssm")
        for name, value in secrets.items():
            ssm.put_parameter(
                Name=f"{SECRETS_PATH}/{name}", Value=value, Type="SecureString", Overwrite=True
            )

    def _put_account(self, account: posting.Account, record: Record, *, anew: bool) -> None:
        """Store the posting account's credentials.

        An emulator that was killed has forgotten the tokens that were renewed last. Those of the
        stand-in are found again; those of the real X only the operator can give anew.
        """

        def tokens() -> str:
            if account.kind == upstreams.STAND_IN and record.stand_ins:
                return stand_ins.oauth2_tokens(record.stand_ins, account.name)
            return account.secrets[posting.TOKENS]

        posting.put_secrets(
            self.boto3("ssm"),
            f"{SECRETS_PATH}/tweets/{account.name}",
            account,
            tokens=tokens,
            anew=anew and account.kind == upstreams.STAND_IN,
        )

    def _check_posting(self, record: Record, account: posting.Account) -> None:
        """Raises CloudError where tweets that wait in the tables would go to another X."""
        last = record.upstreams.get(posting.NAME)
        if record.stack_name and last not in {None, account.kind}:
            raise CloudError(
                f"The tweets in {self.home.folder} belong to the {last} X, and .env now posts to"
                f" the {account.kind} one. What waits here must not be posted there:"
                f" `marquee --home {self.home.folder}-{account.kind} up` brings up a cloud beside"
                " it."
            )

    def _deploy(self, parameters: Mapping[str, str]) -> dict[str, str]:
        cloudformation = self.boto3("cloudformation")
        runtime_python = self._project / ".venvs" / "runtime" / "bin" / "python"
        if not runtime_python.exists():
            raise CloudError(f"{runtime_python} is missing: `make run` installs it.")
        wanted = fingerprint(
            self._project,
            [Path(fit.__file__)],
            {
                **parameters,
                # Queue addresses and bootstraps hold these.
                "emulator": self.endpoint_url,
                "runtime": str(runtime_python),
                "home": str(self.home.folder),
            },
        )
        found = stack.settle(cloudformation, STACK_NAME)
        deployed = found and found.status in stack.GOOD and found.fingerprint == wanted
        if not deployed or not self.home.fitted.exists() or not self.home.layers.exists():
            self._say("Building")
            stack.build(self._project, self.home, parameters["Architecture"])
            template = fit.fit(self.home.build, self.home.fitted, self.home.layers, runtime_python)
            self._say("Deploying")
            try:
                stack.deploy(
                    self._project,
                    self.home,
                    template,
                    self.endpoint_url,
                    STACK_NAME,
                    parameters,
                    wanted,
                )
            except CloudError as error:
                if not emulator.is_healthy(self.home, self.endpoint_url):
                    log = self.home.logs / emulator.LOG_NAME
                    raise with_tail("The emulator ended during the deployment.", log) from error
                reasons = stack.failures(cloudformation, STACK_NAME)
                raise CloudError("\n".join([str(error), *reasons])) from None
            fit.forget_other_layers(self.home.layers, self.home.fitted)
            found = stack.describe(cloudformation, STACK_NAME)
        if found is None:
            raise CloudError(f"sam deployed, but there is no stack {STACK_NAME}.")
        return dict(found.outputs)

    def _api(self, outputs: Mapping[str, str]) -> Api:
        key = self.boto3("apigateway").get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)
        path = f"_aws/execute-api/{outputs['ApiId']}/{outputs['ApiStage']}"
        return Api(id=outputs["ApiId"], url=f"{self.endpoint_url}/{path}", key=key["value"])


def _runs(service: Service | None) -> bool:
    return service is not None and service.process.is_alive() and is_listening(service.port)


def _architecture() -> str:
    machine = platform.machine().lower()
    if machine not in ARCHITECTURES:
        raise CloudError(f"Lambda knows x86_64 and arm64, this machine is {machine}.")
    return ARCHITECTURES[machine]

"""PostHog's Python client. Reads commands as JSON, one a line, and answers each with what the client returned and reported."""

import json
import logging
import os
import sys

from posthog import Posthog
from posthog.ai.prompts import Prompts
from posthog.request import APIError, get

HOST = sys.argv[1]
errors = []


class Report(logging.Handler):
    def emit(self, record):
        if record.levelno >= logging.WARNING:
            errors.append(record.getMessage())


logging.getLogger("posthog").addHandler(Report())
logging.getLogger("posthog").propagate = False


class Commands:
    client = None

    def open(self, project, secret=None, local=False, capture_mode="v0"):
        self.close()
        os.environ["POSTHOG_CAPTURE_MODE"] = capture_mode
        self.client = Posthog(
            project,
            host=HOST,
            secret_key=secret,
            enable_local_evaluation=local,
            poll_interval=3600,
            traces={"service_name": "shop"},
            on_error=lambda error, batch: errors.append(str(error)),
        )
        if local:
            self.reload()

    def close(self):
        if self.client:
            self.client.shutdown()

    def reload(self):
        self.client.load_feature_flags()

    def capture(self):
        self.client.capture("bought", distinct_id="ann", properties={"price": 7})
        self.client.flush()

    def telemetry(self):
        self.client.metrics.count("orders", 1)
        self.client.metrics.flush()
        with self.client.start_span("order"):
            pass
        self.client.flush()

    def flags(self, local=False):
        return self.client.get_all_flags("ann", only_evaluate_locally=local)

    def remote_config(self, key):
        return self.client.get_remote_config_payload(key)

    def prompt(self, name):
        return Prompts(self.client).get(name, with_metadata=True).prompt

    def get(self, path):
        try:
            return get(self.client.secret_key, path, HOST, timeout=10).data
        except APIError as error:
            errors.append(f"{error.status}: {error.message}")


commands = Commands()
for line in sys.stdin:
    command = json.loads(line)
    result = None
    try:
        result = getattr(commands, command.pop("do"))(**command)
    except Exception as error:
        errors.append(str(error))
    print(json.dumps({"result": result, "errors": errors}), flush=True)
    errors.clear()
commands.close()

"""Checks every answer against botocore's model of it: required members, types, patterns."""

import datetime
import re

from botocore import session, xform_name

SERVICES = [
    session.get_session().get_service_model(name) for name in ("bedrock-agentcore", "bedrock-agentcore-control")
]

KINDS = {
    "string": str, "integer": int, "long": int, "boolean": bool, "structure": dict, "map": dict, "list": list,
    "timestamp": datetime.datetime,
}


def check(shape, value, path):
    kind = KINDS.get(shape.type_name)
    if kind is None or getattr(shape, "is_document_type", False):
        return  # Bytes, or anything at all.
    if shape.serialization.get("eventstream"):
        return  # Its events are checked as they come.
    assert isinstance(value, kind), f"{path}: {value!r} is no {shape.type_name}"
    if shape.type_name == "structure":
        missing = [name for name in shape.required_members if name not in value]
        assert not missing, f"{path}: {missing} missing in {value!r}"
        for name, member in value.items():
            if name in shape.members:
                check(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for index, member in enumerate(value):
            check(shape.member, member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, member in value.items():
            check(shape.value, member, f"{path}[{key!r}]")
    elif shape.type_name == "string":
        check_text(shape, value, path)


def check_text(shape, value, path):
    if pattern := shape.metadata.get("pattern"):
        assert re.fullmatch(pattern, value), f"{path}: {value!r} does not match {pattern}"
    if getattr(shape, "enum", None):
        assert value in shape.enum, f"{path}: {value!r} is none of {shape.enum}"


class Checked:
    """A client whose every answer is checked."""

    def __init__(self, client):
        self.client = client
        self.operations = {xform_name(name): name for name in client.meta.service_model.operation_names}

    def __getattr__(self, name):
        plain = getattr(self.client, name)
        if name not in self.operations:
            return plain
        operation = self.client.meta.service_model.operation_model(self.operations[name])

        def call(**parameters):
            answer = plain(**parameters)
            metadata = answer["ResponseMetadata"]
            assert metadata["HTTPStatusCode"] == operation.http["responseCode"], metadata
            assert metadata["RequestId"], "no request id"
            if operation.output_shape is not None:
                check(operation.output_shape, answer, name)
            return answer

        return call


def said(error):
    """The answer of an exception, checked as well."""
    assert error.response["Error"]["Message"], error.response
    assert error.response["ResponseMetadata"]["RequestId"], error.response
    code = error.response["Error"]["Code"]
    service = next(one for one in SERVICES if error.operation_name in one.operation_names)
    if shape := service.shape_for_error_code(code):
        check(shape, error.response, code)
    return error.response

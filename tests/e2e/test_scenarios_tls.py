"""The same over HTTPS, with a certificate authority of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme
from tests.support.scenarios import Case, cases, check, play

from pairmill.simulator import SimulatorSettings, TlsFiles

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TlsFiles:
    """A server's certificate, from an authority that the run is told to trust."""
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", "localhost")
    own.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    own.private_key_pem.write_to_path(tmp_path / "server.key")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return TlsFiles(str(tmp_path / "server.pem"), str(tmp_path / "server.key"))


@cases(
    Case("noise-429", bills=1),
    Case("noise-500", bills=1),
    Case("account-anthropic", (75,), 8, says=("specified API usage limits",), bills=1),
    Case("odd-chunk-reset", lost=1, sends=2),
    Case("reset-replies", lost=4),
    Case("cut-replies", lost=4),
    Case("stream-always", bills=1),
    Case("draft-harmony", bills=4),
    Case("thinking-openai"),
    Case("temperature-moonshot"),
    Case("nested-reason", (75, 78), says=("maintenance until noon",)),
)
def test_a_scenario_ends_the_same_over_https(
    case: Case, tmp_path: Path, certificate: TlsFiles
) -> None:
    check(case, tmp_path, tls=certificate)


@pytest.mark.parametrize("wire", ["auto", "sdk"])
def test_every_wire_trusts_what_ssl_cert_file_names(
    wire: str, tmp_path: Path, certificate: TlsFiles
) -> None:
    outcome = play(SimulatorSettings(tls=certificate), tmp_path, settings={"wire": wire})
    assert (outcome.code, outcome.lost) == (0, 0), outcome.said


@pytest.mark.parametrize("wire", ["auto", "sdk"])
def test_a_certificate_that_nobody_trusts_is_told_in_one_line(
    wire: str, tmp_path: Path, certificate: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    outcome = play(SimulatorSettings(tls=certificate), tmp_path, settings={"wire": wire})
    assert outcome.code == 78, outcome.said
    assert "certificate" in outcome.said.lower() or "tls" in outcome.said.lower()

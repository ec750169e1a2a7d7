"""People with keys at the register of a store, and models that need no training to be decided about."""

import hashlib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from etymon.evidence.keys import Key
from etymon.evidence.register import act
from etymon.evidence.register.act import Desk
from etymon.evidence.register.books import Books, open_books
from etymon.evidence.register.chain import STAGE, Signed
from etymon.evidence.register.decision import Added
from etymon.evidence.register.signers import Signer, Signers
from etymon.store import Artifact, Store

LATER = date(2099, 12, 31)


@dataclass
class Office:
    """Ada submits, Grace and Alan approve."""

    store: Store
    keys: dict[str, Key] = field(default_factory=dict)
    signers: Signers = field(default_factory=dict)
    last: Signed | None = None
    """The newest decision, where a test keeps count itself."""

    def __post_init__(self) -> None:
        if not self.keys:
            self.hire("Ada", "submit")
            self.hire("Grace", "approve")
            self.hire("Alan", "approve")

    def hire(self, name: str, *may: str, until: date | None = None, key: Key | None = None) -> Key:
        self.keys[name] = key or Key(ec.generate_private_key(ec.SECP256R1()))
        self.signers[self.keys[name].public.id] = Signer(name, self.keys[name].public, may, until)
        return self.keys[name]

    def desk(self, name: str) -> Desk:
        return Desk(self.store, self.signers, self.keys[name])

    def books(self, today: date | None = None) -> Books:
        return open_books(self.store, self.signers, today)

    def status(self, name: str) -> str:
        return self.books().register.find(name).status

    def decisions(self) -> list[Artifact]:
        """In the order in which they were taken."""
        return [each for each in self.books().holdings.artifacts if each.manifest.stage == STAGE]

    def add(self, name: str, license: str | None = "MIT", digest: str | None = None) -> Signed:
        about = act.about("model", name, "1", digest or digest_of(name))
        return act.add(self.desk("Ada"), about, Added(source=f"hf:org/{name}", license=license))

    def approve(self, name: str, **changed: object) -> Signed:
        """After waiving, as Grace, whatever can be."""
        for each in self.books().objections(self.books().register.find(name)):
            if each.can_be_waived:
                act.waive(self.desk("Grace"), name, None, each.code, "Seen")
        given = {"conditions": (), "until": LATER} | changed
        return act.approve(self.desk("Grace"), name, None, **given)  # type: ignore[arg-type]

    def write_signers(self, folder: Path) -> Path:
        """The file of signers, with their public keys beside it."""
        lines = ["signers:"]
        for each in self.signers.values():
            (folder / f"{each.name}.pub").write_bytes(each.key.pem)
            lines.append(f"  - {{name: {each.name}, key: {each.name}.pub, may: [{', '.join(each.may)}]}}")
        path = folder / "signers.yaml"
        path.write_text("\n".join(lines), "utf-8")
        return path


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

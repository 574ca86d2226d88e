"""Fetch real corpora, by their Debian packages, into an ignored folder.

python -m benchmarks.intake.corpora          (or: make corpora)

Each package is checked against its digest where Debian still offers the very version that was
measured; a newer one is used and said so. Its licence is in ``usr/share/doc/NAME/copyright``.
Nothing of it is committed or installed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".corpora"
PACKAGES = {
    "apache2-doc": "a7b3d1131c1c63dbf9999b28e75f9a133d30f70492b419936bd51759ac77a01f",
    "debian-handbook": "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
    "developers-reference": "0dba82f6fa16e373f2a84ad07e7971aa9264ad2e7d2ae46b37edbc9c5fd57e2e",
    "git-doc": "3c89668a11053a6bafade3de1f611f4613db31e082af63f43d8c5b69ad8795ec",
    "postgresql-doc-15": "4c44bf2c599f208b3f46454a6cf7a72e25ec46ff74d37b59dd31ad76b00eebb7",
    "python3.11-doc": "5b3594189d6ef9a6963ce0347fd307a1cc67620ad697e144db366070e2e146be",
    "python-django-doc": "87307f067916df72e17180d35b7cde5c7ea6080336cda518efd7f6e66988a7ca",
    "python-flask-doc": "0659f6a04b15fe3f907150cadc0399fe987c790e722e001b73f7e49fa5ecca15",
    "python-requests-doc": "499f6c095d09971ec3aa7b7ff5197eaf999476ce3ee61edfccac64fe3f9e520f",
    "rust-doc": "96ef96fe6df87d939ca713bd7df3d15c2b778ccb892eca025c4ee504146f697b",
}


def main() -> int:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        print("corpora come as Debian packages: this needs apt-get and dpkg-deb", file=sys.stderr)
        return 1
    packages, root = FOLDER / "packages", FOLDER / "root"
    packages.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, known in PACKAGES.items():
        if not list(packages.glob(f"{name}_*.deb")):
            subprocess.run(["apt-get", "download", "-qq", name], cwd=packages, check=False)
        found = next(iter(packages.glob(f"{name}_*.deb")), None)
        if found is None:
            print(f"{name}: not to be had; run 'apt-get update' first?", file=sys.stderr)
            failed += 1
            continue
        digest = hashlib.sha256(found.read_bytes()).hexdigest()
        what = "as measured" if digest == known else f"another version ({found.name})"
        subprocess.run(["dpkg-deb", "-x", str(found), str(root)], check=True)
        licence = root / "usr/share/doc" / name / "copyright"
        print(f"{name}: {what}; licence: {licence if licence.exists() else 'see the package'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""`gitfleet completion`: the script by which a shell completes `gitfleet` and `git fleet`."""

from __future__ import annotations

import click

from gitfleet import assets
from gitfleet.cli.support.verb import Verb


@click.command(
    "completion",
    cls=Verb,
    examples=(
        'eval "$(gitfleet completion bash)"      # in ~/.bashrc',
        'eval "$(gitfleet completion zsh)"       # in ~/.zshrc, after compinit',
        "gitfleet completion fish | source       # in ~/.config/fish/config.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands, options and task ids in SHELL.

    It serves `gitfleet` and `git fleet`. The script asks gitfleet at each TAB, so it need not be
    made again after an upgrade.
    """
    click.echo((assets.folder("completion") / shell).read_text(encoding="utf-8"), nl=False)

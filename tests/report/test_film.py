import base64

import pytest

from metarl.report.episodes import shown_episodes
from metarl.report.film import films_of


def test_each_shown_task_has_a_film(measured, options):
    pytest.importorskip("PIL", reason="Pillow is not installed (extra video)")
    shown = shown_episodes(measured, "promp", options.episodes, options.seed)[:1]
    (film,) = films_of(measured, "promp", shown, options.seed)
    assert film.title == "promp, best task"
    kind, data = film.source.split(",", 1)
    assert kind == "data:image/gif;base64"
    assert base64.b64decode(data).startswith(b"GIF8")
    assert "promp" in film.alternative

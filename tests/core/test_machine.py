import pytest
import torch

from metarl.core.errors import ConfigError
from metarl.core.machine import check_device


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_says_so():
    with pytest.raises(ConfigError, match="--device = cuda; expected a device of this machine: "):
        check_device("cuda")

"""The paper's appendix on LeNet-300-100 and MNIST: other ways to prune, controls, and hyperparameters.

Its curves show validation accuracy over three replicates; where it prints no grid, ours spans the range it names.
"""

from __future__ import annotations

from lth_core.recipes.lenet import lenet_variant
from lth_core.spec import Submission

ONE_CONTROL = ["random_reinit"]


def lenet_mnist_one_shot() -> Submission:
    """One-shot pruning of LeNet, every density out of one dense run: Frankle & Carbin 2019, section 2 and figure 4c."""
    return lenet_variant("lenet-mnist-one-shot", method="one_shot", replicates=[0, 1, 2, 3, 4])


def lenet_mnist_continued() -> Submission:
    """Iterative pruning of LeNet with continued training, strategy 2 of Frankle & Carbin 2019, appendix B.

    Each level trains on from the weights of the level before; the control `reset` is the ticket itself.
    """
    return lenet_variant("lenet-mnist-continued", rewind={"mode": "lr"}, treatments=["reset"])


def lenet_mnist_random_sparse() -> Submission:
    """LeNet's tickets against random sparse networks, ten of each: Frankle & Carbin 2019, figure 1 and appendix E."""
    treatments = ["random_reinit", {"name": "random_sparse", "repeats": 10}]
    return lenet_variant("lenet-mnist-random-sparse", treatments=treatments)


def lenet_mnist_reuse() -> Submission:
    """LeNet's masks with values drawn from the tickets' own initialisations: Frankle & Carbin 2019, appendix F.3.

    Signs kept, and signs with one constant per layer, are the variants of Zhou et al. 2019, arXiv:1905.01067.
    """
    rescaled = {"name": "signed_constant", "rescaled": True}
    treatments = ["random_reinit", "reuse", "reuse_sign", "signed_constant", rescaled]
    return lenet_variant("lenet-mnist-reuse", treatments=treatments)


def lenet_mnist_magnitude_at_init() -> Submission:
    """LeNet pruned by the magnitude of its initial weights, as a control: Frankle & Carbin 2019, appendix F.4."""
    return lenet_variant("lenet-mnist-magnitude-at-init", treatments=["random_reinit", "magnitude_at_init"])


def lenet_mnist_noise() -> Submission:
    """LeNet's tickets with noise of .5 to 3 sigma on their initialisation: Frankle & Carbin 2019, appendix F.7."""
    noise = [{"name": "noise", "sigma": sigma} for sigma in (0.5, 1.0, 2.0, 3.0)]
    return lenet_variant("lenet-mnist-noise", treatments=["random_reinit", *noise])


def lenet_mnist_adam_rates() -> Submission:
    """LeNet under Adam at six learning rates: Frankle & Carbin 2019, appendix G.2."""
    rates = {"grid": [0.0002, 0.0004, 0.0008, 0.0012, 0.0016, 0.002]}
    return lenet_variant("lenet-mnist-adam-rates", train={"lr": rates}, treatments=ONE_CONTROL)


def lenet_mnist_sgd_rates() -> Submission:
    """LeNet under SGD at five learning rates: Frankle & Carbin 2019, appendix G.3."""
    rates = {"grid": [0.05, 0.1, 0.2, 0.4, 0.8]}
    return lenet_variant("lenet-mnist-sgd-rates", train={"optimizer": "sgd", "lr": rates}, treatments=ONE_CONTROL)


def lenet_mnist_fraction_10() -> Submission:
    """LeNet losing a tenth of its weights per level: Frankle & Carbin 2019, appendix G.4."""
    return _fraction(0.1, levels=36)


def lenet_mnist_fraction_20() -> Submission:
    """LeNet losing a fifth of its weights per level: Frankle & Carbin 2019, appendix G.4."""
    return _fraction(0.2, levels=18)


def lenet_mnist_fraction_40() -> Submission:
    """LeNet losing two fifths of its weights per level: Frankle & Carbin 2019, appendix G.4."""
    return _fraction(0.4, levels=8)


def lenet_mnist_fraction_60() -> Submission:
    """LeNet losing three fifths of its weights per level: Frankle & Carbin 2019, appendix G.4."""
    return _fraction(0.6, levels=4)


def lenet_mnist_hidden_50_17() -> Submission:
    """A fully connected network with 50 and 17 hidden units on MNIST: Frankle & Carbin 2019, appendix G.5."""
    return _hidden(50, 17)


def lenet_mnist_hidden_100_34() -> Submission:
    """A fully connected network with 100 and 34 hidden units on MNIST: Frankle & Carbin 2019, appendix G.5."""
    return _hidden(100, 34)


def lenet_mnist_hidden_200_67() -> Submission:
    """A fully connected network with 200 and 67 hidden units on MNIST: Frankle & Carbin 2019, appendix G.5."""
    return _hidden(200, 67)


def lenet_mnist_hidden_500_167() -> Submission:
    """A fully connected network with 500 and 167 hidden units on MNIST: Frankle & Carbin 2019, appendix G.5."""
    return _hidden(500, 167)


def lenet_mnist_hidden_900_300() -> Submission:
    """A fully connected network with 900 and 300 hidden units on MNIST: Frankle & Carbin 2019, appendix G.5."""
    return _hidden(900, 300)


def _fraction(fraction: float, *, levels: int) -> Submission:
    """The recipe at another pruning rate, with as many levels as lead to about the same sparsity."""
    prune = {"fraction": fraction, "output_fraction": fraction / 2, "levels": levels}
    return lenet_variant(f"lenet-mnist-fraction-{round(fraction * 100)}", prune=prune, treatments=ONE_CONTROL)


def _hidden(first: int, second: int) -> Submission:
    model = {"name": "mlp", "sizes": [784, first, second, 10]}
    return lenet_variant(f"lenet-mnist-hidden-{first}-{second}", model=model, treatments=ONE_CONTROL)

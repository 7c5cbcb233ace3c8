"""CIFAR-10: 60,000 photographs of 32×32 pixels in 10 classes (Krizhevsky 2009)."""

from robench.data import cifar


class Cifar10(cifar.FromFiles):
    """CIFAR-10, from the published files or Hugging Face's Parquet."""

    cifar = cifar.CIFAR10

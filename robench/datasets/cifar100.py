"""CIFAR-100: 60,000 photographs of 32×32 pixels in 100 (fine) classes (Krizhevsky 2009)."""

from robench.data import cifar


class Cifar100(cifar.FromFiles):
    """CIFAR-100, fine labels, from the published files or Hugging Face's Parquet."""

    cifar = cifar.CIFAR100

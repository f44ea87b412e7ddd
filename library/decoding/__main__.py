"""The decoder of datasets."""

from library.decoding.answering import answer
from library.decoding.tasks import run

if __name__ == "__main__":
    answer(run)

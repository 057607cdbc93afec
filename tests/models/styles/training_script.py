# ruff: noqa -- written as people write it
import argparse, sys, torch.nn as nn

p = argparse.ArgumentParser()
p.add_argument("--width", type=int, default=64)
args = p.parse_args()
print("hello", args.width)


class Net(nn.Module):
    def __init__(self, width=args.width):
        super().__init__()
        self.a = nn.Linear(8, width)
        self.b = nn.Linear(width, width)
        self.c = nn.Linear(width, 1)

    def forward(self, x):
        return self.c(self.b(self.a(x).relu()).relu())


model = Net()
if __name__ == "__main__":
    raise SystemExit("trained")

# Train a word-level LSTM.  python lstm_script.py --data ./corpus
import argparse
import os
import time

import torch
import torch.nn as nn

parser = argparse.ArgumentParser(description="word-level language model")
parser.add_argument("--data", type=str, required=True, help="folder with train.txt and valid.txt")
parser.add_argument("--emsize", type=int, default=200)
parser.add_argument("--nhid", type=int, default=200)
parser.add_argument("--nlayers", type=int, default=2)
parser.add_argument("--lr", type=float, default=20)
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--batch_size", type=int, default=20)
parser.add_argument("--bptt", type=int, default=35)
args = parser.parse_args()

torch.manual_seed(1111)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Corpus:
    def __init__(self, path):
        self.word2idx = {}
        self.train = self.tokenize(os.path.join(path, "train.txt"))
        self.valid = self.tokenize(os.path.join(path, "valid.txt"))

    def tokenize(self, path):
        with open(path, encoding="utf8") as f:
            words = f.read().replace("\n", " <eos> ").split()
        return torch.tensor([self.word2idx.setdefault(word, len(self.word2idx)) for word in words])


class RNNModel(nn.Module):
    """Container module with an encoder, a recurrent module, and a decoder."""

    def __init__(self, ntoken, ninp, nhid, nlayers, dropout=0.5):
        super(RNNModel, self).__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        self.nhid, self.nlayers, self.ntoken = nhid, nlayers, ntoken
        self.init_weights()

    def init_weights(self):
        initrange = 0.1
        nn.init.uniform_(self.encoder.weight, -initrange, initrange)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -initrange, initrange)

    def forward(self, input):
        emb = self.drop(self.encoder(input))
        output, _ = self.rnn(emb)
        decoded = self.decoder(self.drop(output))
        return torch.log_softmax(decoded.view(-1, self.ntoken), dim=1)


corpus = Corpus(args.data)
model = RNNModel(len(corpus.word2idx), args.emsize, args.nhid, args.nlayers).to(device)
criterion = nn.NLLLoss()
for epoch in range(1, args.epochs + 1):
    start, total = time.time(), 0.0
    width = corpus.train.size(0) // args.batch_size
    data = corpus.train[: width * args.batch_size].view(args.batch_size, -1).t().contiguous()
    for i in range(0, data.size(0) - 1, args.bptt):
        seq_len = min(args.bptt, len(data) - 1 - i)
        loss = criterion(model(data[i : i + seq_len].to(device)), data[i + 1 : i + 1 + seq_len].view(-1).to(device))
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-args.lr)
        total += loss.item()
    print(f"epoch {epoch} {time.time() - start:.0f}s loss {total:.2f}")
torch.save(model.state_dict(), "model.pt")

//! What stands below each command's options in `--help`: how it is used, and what its end means.

pub(crate) const ALL: &str = "\
Examples:
  millrace init /srv/example --name 'Example Linux'
  millrace up --data /srv/example
  git clone /srv/example/state.git && cd state    # write builds/2026/11/hello.yaml
  millrace lint && millrace plan                  # what is wrong, and what merging would do
  git add . && git commit -m 'Build hello' && git push
  millrace watch builds/2026/11/hello.yaml
  millrace why builds/2026/11/hello.yaml          # when it failed

Exit codes of every command:
  0  done, and what was asked about is well
  1  done, and it is not well: errors (lint, plan), a failed, invalid or canceled request (status,
     watch, why), a finding (verify)
  2  the command's words are wrong
  3  trouble: the control plane cannot be reached or is in trouble, a file of this machine cannot be
     read, the token is refused
  4  nothing has that name: no such request, task, attempt, commit, branch or repository
  5  its present state does not allow it: nothing to cancel or to try again, no log yet, a broken
     configuration that keeps a request from being planned
  6  it did not happen in time (watch --timeout)

With --json an error is {\"error\": {\"kind\": …, \"code\": …, \"message\": …}} on standard error.";

pub(crate) const INIT: &str = "\
Examples:
  millrace init /srv/example --name 'Example Linux'
  millrace init ~/distro --jobs 4 --emulated arm64
  terraform output -json installation | millrace init ~/distro --installation -
  millrace init /srv/example --forge github --state https://github.com/acme/state.git \\
      --public-url https://build.example.org

The programs millrace-runner and millrace-signer are looked for beside millrace: each makes its own
keys, and millrace never sees a private one.";

pub(crate) const UP: &str = "\
Examples:
  millrace up --data /srv/example
  millrace up --data /srv/example --listen 7981           # on 127.0.0.1
  millrace up --data /srv/example --listen 127.0.0.1:0    # a free port; the first line says which
  millrace up --data /srv/example --roots /dev/shm/roots --scratch /dev/shm/jobs
  millrace up --data /srv/example --state https://git.example.org/distro.git \\
      --state-token-file /etc/millrace/git-token
  millrace up --data /srv/example --state https://github.com/acme/state.git \\
      --forge github --forge-app 123456 --forge-token-file /srv/example/secrets/forge.pem \\
      --webhook-secret-file /srv/example/secrets/webhook.secret \\
      --public-url https://build.example.org
  millrace up --data /srv/example --state https://gitea.example.org/acme/state.git \\
      --forge gitea --forge-api https://gitea.example.org/api/v1 \\
      --forge-token-file /srv/example/secrets/forge.token \\
      --state-token-file /srv/example/secrets/forge.token \\
      --webhook-secret-file /srv/example/secrets/webhook.secret \\
      --public-url https://build.example.org

Ctrl-C or SIGTERM stops it and lets jobs finish for a while. Killed, it goes on where it was when it
is started again. MILLRACE_LOG chooses log lines: `info` by default, `debug`, `control=debug`.";

pub(crate) const LINT: &str = "\
Examples:
  millrace lint                     # the checkout that the current directory lies in
  millrace lint ~/my-distribution
  millrace lint --json | jq '.[] | select(.severity == \"error\")'";

pub(crate) const PLAN: &str = "\
Examples:
  millrace plan                     # the checkout here, with what is not committed yet
  millrace plan ~/my-distribution
  millrace plan add-hello           # a branch of the state repository, or of the checkout here
  millrace plan 3f9a0c1e            # a commit
  millrace plan --cost --build-minutes 25

What is planned is what merging would do: the changes since the commit that the checkout and the
control plane have in common, on top of what is planned now. Nothing is written anywhere.

Runners that are missing are named. How long it takes is told from how long such work took before:
the median, and between which times eight of ten cases lie, without what waits in the queues. Of
work that was never done nothing is told. The plan's digest is the same while what it does is.

--cost takes requests as they were counted, and list prices that nobody has checked. It says what it
assumes; docs/explanation/cost.md has the rest.";

pub(crate) const STATUS: &str = "\
Examples:
  millrace status
  millrace status builds/2026/11/hello.yaml
  millrace status --json | jq '.requests[] | select(.phase == \"failed\") | .path'";

pub(crate) const WATCH: &str = "\
Examples:
  millrace watch
  millrace watch builds/2026/11/hello.yaml
  millrace watch --timeout 600 releases/2026/11/hello.yaml && echo published

A commit that was pushed a moment ago is waited for, and so is a control plane that goes away, for 60
seconds. A request that no commit has ends the command with code 4; one that failed, and one that
waits only for such as failed, with code 1.";

pub(crate) const LOGS: &str = "\
Examples:
  millrace logs builds/2026/11/hello.yaml    # of the task that failed, or of the one that runs
  millrace logs -f 3f9a
  millrace logs 3f9a --attempt 1
  millrace logs 3f9a > build.log             # byte for byte

On a terminal, a build's own escape sequences are left out; --raw keeps them.";

pub(crate) const WHY: &str = "\
Examples:
  millrace why 3f9a
  millrace why builds/2026/11/hello.yaml    # all of its tasks that are not done, failures first";

pub(crate) const CANCEL: &str = "\
Examples:
  millrace cancel 3f9a --reason 'wrong branch'
  millrace cancel builds/2026/11/hello.yaml

It needs the token of the data directory (--data).";

pub(crate) const RETRY: &str = "\
Examples:
  millrace retry 3f9a
  millrace retry builds/2026/11/hello.yaml

The machine itself tries infrastructure trouble again, but never a package's failure. It needs the
token of the data directory (--data).";

pub(crate) const VERIFY: &str = "\
Examples:
  millrace verify --data /srv/example
  millrace verify --data /srv/example debian-12

It reads the disk and works without a running control plane. The state repository and its branches
are those of the last `millrace up` on the data directory.";

pub(crate) const RECOVER: &str = "\
Examples:
  millrace recover --data /srv/example                # the ledger is gone
  millrace recover --data /srv/example --replace      # it is damaged, or an old backup

Stop `millrace up` first, and start it again after. Everything that the branch `status` tells comes
back as it was: what is built, tested and published is not done again. Tasks that runners had are run
again. Requests and results that the branch had not heard of, seconds at most, are planned and run anew.
A ledger that is put aside is in data/set-aside-<n>.";

pub(crate) const PRUNE: &str = "\
Examples:
  millrace prune --dry-run                  # what would go, and how much
  millrace prune
  millrace prune --grace 1h                 # when the disk is full
  millrace prune --dry-run --json | jq .removed.bytes

A running `millrace up` does this by itself once a day, with a grace of three days.

Kept is what any request, task or repository names, old ones too: packages, logs, trees, and what
`millrace recover` needs. Removed are orphans: uploads of attempts that lost their lease, and documents
that newer ones replaced. When anything that may name files cannot be read, nothing is removed. It
needs a running control plane and the token of the data directory (--data).";

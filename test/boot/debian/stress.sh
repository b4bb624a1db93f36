#!/bin/bash
# TIMEOUT: 150
# BOOT: --smp 4 --memory 1G
# stress-ng as the issue names it: forks, memory and pipes at once, verified
stress-ng --fork 4 --vm 2 --vm-bytes 64M --pipe 2 --timeout 20s --verify --log-brief 2>&1 | grep -vE 'setting|dispatching|completed'
exit "${PIPESTATUS[0]}"

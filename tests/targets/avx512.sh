#!/bin/bash
# Run static x86-64 Linux programs on an emulated AVX-512 (F/BW/DQ/VL/VBMI/VNNI) CPU, for hosts without AVX-512.
#   avx512.sh [-m MB] [-t SECONDS] [-d DATAFILE]... 'PROG [ARG...]' ['PROG [ARG...]']...
# Each PROG (a host path, no blanks) runs in turn as root in /data, where every DATAFILE lies under its base
# name.  Prints what they print; exits 0 only if every one of them ran and exited 0.
# How: Debian's Bochs (model corei7_icelake_u) boots Debian's cloud kernel with a throw-away initramfs from an ISO.
# Needs Debian 12 (or a debian:12 container), root for the first apt run, gcc.  BOCHS= names another build.
set -euo pipefail
mem=512 limit=900 data=() start=$(date +%s)
work=${AVX512_WORK:-/tmp/avx512_work} BOCHS=${BOCHS:-bochs}
while getopts m:t:d: o; do
  case $o in m) mem=$OPTARG ;; t) limit=$OPTARG ;; d) data+=("$OPTARG") ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
export TERM=xterm LC_ALL=C; mkdir -p "$work"; abs() { realpath -e -- "$1"; }

# --- packages (once) ---
if ! { command -v "$BOCHS" xorriso cpio gcc && ls /usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so /usr/lib/ISOLINUX/isolinux.bin; } >/dev/null 2>&1; then
  apt-get -o DPkg::Lock::Timeout=600 -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq -y --no-install-recommends install \
    bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso cpio gcc libc6-dev >"$work/apt.log" 2>&1
fi
if [ ! -s "$work/vmlinuz" ]; then # the kernel is only unpacked, never installed
  rm -rf "$work/k"; mkdir "$work/k"
  pkg=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
  (cd "$work/k" && apt-get -qq download "$pkg" 2>/dev/null && dpkg -x ./*.deb . && cp boot/vmlinuz-* ../vmlinuz.new)
  mv "$work/vmlinuz.new" "$work/vmlinuz"; rm -rf "$work/k"
fi

# --- /init: runs the lines of /cmds, then powers off through Bochs' port 0x8900 ---
run=$(mktemp -d "$work/run.XXXXXX"); trap 'rm -rf "$run"' EXIT
cat >"$run/init.c" <<'C'
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <x86intrin.h>
int main(void) {
  char line[65536], *av[4096]; int ran = 0, bad = 0;
  mount("proc", "/proc", "proc", 0, 0); mount("dev", "/dev", "devtmpfs", 0, 0); chdir("/data");
  printf("@@BOOT %.0fM ticks\n", __rdtsc() / 1e6); fflush(stdout);
  for (FILE *f = fopen("/cmds", "r"); f && fgets(line, sizeof line, f); ) {
    int n = 0, st = 0; unsigned long long t = __rdtsc();
    for (char *p = strtok(line, " \n"); p && n < 4095; p = strtok(0, " \n")) av[n++] = p;
    if (!n) continue;
    av[n] = 0; pid_t pid = fork();
    if (!pid) { execv(av[0], av); perror(av[0]); _exit(127); }
    waitpid(pid, &st, 0); st = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
    ran++; bad += st != 0;
    printf("@@EXIT %d %s (%.1fM ticks)\n", st, av[0], (__rdtsc() - t) / 1e6); fflush(stdout);
  }
  printf("@@END ran=%d failed=%d\n", ran, bad); fflush(stdout); tcdrain(1); usleep(50000);
  iopl(3); for (const char *s = "Shutdown"; *s; s++) outb(*s, 0x8900);
  for (;;) pause();
}
C
gcc -O1 -static -w -o "$run/init" "$run/init.c"
mkdir -p "$run/root/"{data,proc,dev,tmp,bin} "$run/iso"; cp "$run/init" "$run/root/init"
n=0
for c in "$@"; do
  read -r prog args <<<"$c"; n=$((n + 1)); g=/bin/$n.$(basename "$prog")
  install -m755 "$(abs "$prog")" "$run/root$g"; echo "$g $args" >>"$run/root/cmds"
done
for f in ${data[@]+"${data[@]}"}; do cp "$(abs "$f")" "$run/root/data/"; done

# --- boot image ---
(cd "$run/root" && find . | cpio -o -H newc --quiet) >"$run/iso/initrd"
cp "$work/vmlinuz" /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$run/iso/"
# Bochs 2.7 reports PKRU and compacted-XSAVE sizes that make Linux drop XSAVE (hence AVX), and FSRM without ERMS, which
# breaks the kernel's memmove: clear PKU XSAVEC XSAVES FSRM.  The rest is for speed (self-tests, certificates, tracing).
# tsc_early_khz must be ips/1000, or kernel time runs off.
ips=10000000
cat >"$run/iso/isolinux.cfg" <<CFG
DEFAULT l
PROMPT 0
LABEL l
KERNEL /vmlinuz
INITRD /initrd
APPEND console=ttyS0,115200 quiet loglevel=3 rdinit=/init panic=-1 clearcpuid=515,321,323,580 tsc=reliable tsc_early_khz=$((ips / 1000)) nokaslr mitigations=off acpi=off noapic nolapic nosmp no_timer_check edd=off init_on_alloc=0 audit=0 cryptomgr.notests initcall_blacklist=load_system_certificate_list,trace_eval_init,init_kprobe_trace,cubictcp_register ${AVX512_APPEND:-}
CFG
xorriso -as mkisofs -quiet -o "$run/b.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$run/iso" 2>/dev/null
cat >"$run/bochsrc" <<CFG
display_library: term
config_interface: textconfig
megs: $mem
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei7_icelake_u, count=1, ips=$ips, reset_on_triple_fault=0
ata0-master: type=cdrom, path=$run/b.iso, status=inserted
boot: cdrom
clock: sync=none, time0=utc
com1: enabled=1, mode=file, dev=$run/serial
log: $run/log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
CFG
help=$("$BOCHS" --help 2>&1 || :); rc=; echo c >"$run/rc" # Debian's build has the debugger in: tell it to go on
[[ $help != *' -rc '* ]] || rc="-rc $run/rc"
timeout -k 10 "$limit" script -qec "$BOCHS -q -f $run/bochsrc $rc" /dev/null </dev/null >"$run/screen" 2>&1 || :

# --- verdict ---
touch "$run/serial"; tr -d '\r' <"$run/serial" >"$run/out"
sed -n '/^@@BOOT/,$p' "$run/out"
end=$(grep -a '^@@END' "$run/out" || :)
echo "avx512: $n program(s), ${end:-no end mark}, $(($(date +%s) - start)) s in all"
[ "$end" = "@@END ran=$n failed=0" ] && exit 0
[ -n "$end" ] || { tail -n 15 "$run/out" "$run/log" "$run/screen" >&2 || :; }
exit 1

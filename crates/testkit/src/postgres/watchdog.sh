# Arguments: the folder with the lock files, the seconds of idleness after which the cluster is removed.
state=$1 limit=$2 cluster=

remove_cluster() {
    server=$(head -n 1 "$cluster/data/postmaster.pid" 2>/dev/null)
    if [ -n "$server" ]; then
        kill -QUIT "$server" 2>/dev/null
        tries=0
        while [ -e "$cluster/data/postmaster.pid" ] && [ "$tries" -lt 50 ]; do
            sleep 0.2
            tries=$((tries + 1))
        done
        [ -e "$cluster/data/postmaster.pid" ] && kill -KILL "$server" 2>/dev/null
    fi
    [ -n "$cluster" ] && rm -rf "$cluster"
    rm -f "$state/cluster.json" "$state/cluster.folder"
    exit 0
}

command -v flock >/dev/null || exit 1
exec 9>"$state/watchdog.lock"
flock --nonblock 9 || exit 0

idle=0
while :; do
    sleep 1
    # A cluster that died was replaced by the next test that needed one.
    [ -r "$state/cluster.folder" ] && read -r cluster <"$state/cluster.folder"
    # Without the lock files (the target folder was removed) nobody can join this cluster any more.
    [ -e "$state/users.lock" ] || remove_cluster
    if flock --nonblock "$state/users.lock" true; then
        idle=$((idle + 1))
    else
        idle=0
    fi
    if [ "$idle" -ge "$limit" ]; then
        exec 8>"$state/start.lock"
        flock 8
        exec 7>"$state/users.lock"
        if flock --nonblock 7; then
            remove_cluster
        fi
        exec 7>&- 8>&-
        idle=0
    fi
done

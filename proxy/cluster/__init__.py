"""Weir on a Ray cluster, as one Ray Serve application: `serve run config/ray.yaml`. Needs the `ray` extra.

* weir       the proxy: Serve's ingress, any number of replicas. What it holds it can lose: limits and verdicts are in Redis,
             records in PostgreSQL.
* safeguard  a detector's network, under the detector's name: replicas of its own, on GPUs or parts of them, where texts of all
             proxies are read together.
* files      one replica, which watches the config and the policies, and hands a change that loads to all proxies at once.
"""

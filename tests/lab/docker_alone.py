"""The part of the main job that is about Docker, and nothing else."""

from tasks import docker, preflight

docker.install(settings=preflight.check())

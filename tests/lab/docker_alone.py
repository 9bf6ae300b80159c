"""The part of the main job that is about Docker, and nothing else."""

from webui_stack.tasks import docker, preflight

docker.install(settings=preflight.check())

"""Scenes: what stands in them as a point sees it (`surfaces`), random layouts (`arena`), rooms from files (`reading`),
what moves in them (`movers`), and the shortest ways in them (`ways`)."""

from safepursuit.scene.arena import SCENES, Arena, Generator, draw_scene, scattered_discs
from safepursuit.scene.corners import BERTH
from safepursuit.scene.furniture import places
from safepursuit.scene.movers import Movers
from safepursuit.scene.reading import gallery
from safepursuit.scene.room import Room, RoomError
from safepursuit.scene.surfaces import (
    FAR,
    Boundaries,
    Edges,
    Scene,
    Way,
    Ways,
    Which,
    boundaries,
    clearance,
    edges_from,
    enclosed,
    nearest_on,
    well_formed,
)
from safepursuit.scene.ways import meeting_time, way

__all__ = [
    "BERTH",
    "FAR",
    "SCENES",
    "Arena",
    "Boundaries",
    "Edges",
    "Generator",
    "Movers",
    "Room",
    "RoomError",
    "Scene",
    "Way",
    "Ways",
    "Which",
    "boundaries",
    "clearance",
    "draw_scene",
    "edges_from",
    "enclosed",
    "gallery",
    "meeting_time",
    "nearest_on",
    "places",
    "scattered_discs",
    "way",
    "well_formed",
]

"""Scenes: what stands in them as a point sees it (`surfaces`), random layouts (`arena`), rooms from files (`room`),
and what moves in them (`movers`)."""

from safepursuit.scene.arena import SCENES, Arena, Generator, draw_scene, scattered_discs
from safepursuit.scene.movers import Movers
from safepursuit.scene.room import Room, RoomError, gallery
from safepursuit.scene.surfaces import FAR, Boundaries, Edges, Scene, boundaries, clearance, enclosed, well_formed

__all__ = [
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
    "boundaries",
    "clearance",
    "draw_scene",
    "enclosed",
    "gallery",
    "scattered_discs",
    "well_formed",
]

"""A stand-in portal: Bitrix24's REST over real HTTP, with its limits, traps and faults, on given data."""

from demo.server.core import Portal, PortalOptions
from demo.server.faults import FaultPlan
from demo.server.running import PortalControl, PortalProcess, running_portal

__all__ = ["FaultPlan", "Portal", "PortalControl", "PortalOptions", "PortalProcess", "running_portal"]

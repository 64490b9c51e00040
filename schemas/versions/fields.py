"""The types of the fields of events. The least value of each width means *absent* in a batch, so no event may have it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Contract(BaseModel):
    """A closed content model: an unknown field is an error, not noise."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


Int8 = Annotated[int, Field(strict=True, gt=-(2**7), lt=2**7)]
Int16 = Annotated[int, Field(strict=True, gt=-(2**15), lt=2**15)]
Int32 = Annotated[int, Field(strict=True, gt=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(strict=True, gt=-(2**63), lt=2**63)]
Microseconds = Annotated[int, Field(strict=True, ge=-(2**63 // 1000 - 1), le=2**63 // 1000 - 1)]
Seq = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Pfn = Annotated[int, Field(strict=True, ge=0, lt=2**52)]
NrPages = Annotated[int, Field(strict=True, ge=0, le=2**52)]
Order = Annotated[int, Field(strict=True, ge=0, le=63)]
GfpMask = Annotated[int, Field(strict=True, ge=0, lt=2**32)]

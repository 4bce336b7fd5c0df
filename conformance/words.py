"""Words that invented prompts are made of: about one token each, and harmless."""

WORDS = (
    "account answer branch bridge buffer button candle carbon castle change circle copper "
    "corner cotton course danger design dinner doctor double driver effect engine estate family "
    "farmer figure finger flower forest friend garden ground harbor island kettle ladder letter "
    "market master memory mirror moment morning mother motion needle number object office orange "
    "parent people pepper person planet pocket policy powder prince record region report result "
    "river saddle school season second secret shadow signal silver spring square station stream "
    "street summer supper system theory timber travel valley vessel village weather window winter"
).split()

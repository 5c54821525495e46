"""A chat template of ours as the Jinja template that transformers runs.

In: a `Template` and what stands before every prompt. Out: the text of chat_template.jinja, whose result is the prompt
string of `Processor.render`, with one `<IMG_CONTEXT>` for each picture, which transformers' processor makes
`<img>`, the image tokens and `</img>`. Knows no tokenizer and no folder.
"""

import json

from ivl.processing.segments import IMAGE_MARK, IMAGE_TOKEN
from ivl.processing.template import Template

VIDEO_MARK = "<video>"

# The places of pictures follow processing/placement.py: where `<image>` stands in the text, else each on a line.
_BODY = """\
{%- macro fail(text) -%}{{- raise_exception(text) -}}{%- endmacro -%}
{{- PREFIX -}}
{%- if not messages or messages[0]['role'] != 'system' -%}
    {{- SYSTEM -}}
{%- endif -%}
{%- for message in messages -%}
    {%- set role = message['role'] -%}
    {%- if role not in ['system', 'user', 'assistant'] or (role == 'system' and not loop.first) -%}
        {{- fail('this model knows one system message at the front, and messages of user and assistant') -}}
    {%- endif -%}
    {%- if message['content'] is string -%}
        {%- set parts = [{'type': 'text', 'text': message['content']}] -%}
    {%- else -%}
        {%- set parts = message['content'] -%}
    {%- endif -%}
    {%- set ns = namespace(marks=0, frames=0, images=0, videos=0, text='') -%}
    {%- if role == 'user' -%}
        {%- for part in parts -%}
            {%- if part['type'] == 'text' -%}
                {%- set text = part['text'].replace('<IMAGE_TOKEN>', IMAGE_MARK) -%}
                {%- set ns.marks = ns.marks + text.split(IMAGE_MARK) | length - 1 -%}
                {%- set ns.frames = ns.frames + text.split(VIDEO_MARK) | length - 1 -%}
            {%- elif part['type'] in ['image', 'image_url'] -%}
                {%- set ns.images = ns.images + 1 -%}
            {%- elif part['type'] in ['video', 'video_url'] -%}
                {%- set ns.videos = ns.videos + 1 -%}
            {%- else -%}
                {{- fail('a part of a message is a text, an image or a video') -}}
            {%- endif -%}
        {%- endfor -%}
        {%- if ns.marks and ns.marks != ns.images -%}
            {{- fail('write <image> once for each image of a message, or not at all') -}}
        {%- endif -%}
        {%- if ns.videos and ns.frames and ns.frames != ns.videos -%}
            {{- fail('write <video> once for each video of a message, or not at all') -}}
        {%- endif -%}
    {%- endif -%}
    {%- for part in parts -%}
        {%- if part['type'] == 'text' -%}
            {%- set text = part['text'] -%}
            {%- if ns.marks -%}
                {%- set text = text.replace('<IMAGE_TOKEN>', IMAGE_MARK).replace(IMAGE_MARK, IMAGE) -%}
            {%- endif -%}
            {%- if ns.videos and ns.frames -%}
                {%- set text = text.replace(VIDEO_MARK + '\\n', VIDEO_MARK).replace(VIDEO_MARK, VIDEO_MARK + '\\n') -%}
            {%- endif -%}
            {%- set ns.text = ns.text + text -%}
        {%- elif role == 'user' and part['type'] in ['image', 'image_url'] and not ns.marks -%}
            {%- set ns.text = ns.text + IMAGE + '\\n' -%}
        {%- elif role == 'user' and part['type'] in ['video', 'video_url'] and not ns.frames -%}
            {%- set ns.text = ns.text + VIDEO_MARK + '\\n' -%}
        {%- endif -%}
    {%- endfor -%}
    {{- OPENINGS[role] + ns.text -}}
    {%- if ns.text or role == 'system' -%}
        {{- END -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- OPENINGS['assistant'] -}}
{%- endif -%}
"""


def chat_template(template: Template, prefix: str) -> str:
    """The Jinja text for `template`; `prefix` stands before every prompt (the tokenizer's begin token, say)."""
    begins = template.openings
    openings = {
        role: opening.control + opening.text
        for role, opening in (("system", begins.system), ("user", begins.user), ("assistant", begins.assistant))
    }
    end = template.end + template.after_end
    names = {
        "PREFIX": prefix,
        "SYSTEM": openings["system"] + template.system + end,
        "OPENINGS": openings,
        "END": end,
        "IMAGE": IMAGE_TOKEN,
        "IMAGE_MARK": IMAGE_MARK,
        "VIDEO_MARK": VIDEO_MARK,
    }
    # A JSON literal of texts and objects is one of Jinja too.
    head = "".join(f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} -%}}\n" for name, value in names.items())
    return head + _BODY

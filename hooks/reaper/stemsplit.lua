-- Separates the selected item, or else the time selection, into stems on tracks below it.
--
-- REAPER's action list: New action > Load ReaScript. docs/reaper.md says the rest. Renders, starts
-- stemsplit in the background, looks now and then whether it has ended, and inserts the stems at the
-- place of what was rendered, in one undo point.

local TITLE = "stemsplit"
local SECTION = "stemsplit"  -- of the settings REAPER keeps for scripts
local ORDER = { "vocals", "drums", "bass", "other" }

-- Render settings of REAPER, as its API names them.
local MASTER_MIX, SELECTED_ITEMS = 0, 32
local BOUNDS_TIME_SELECTION, BOUNDS_SELECTED_ITEMS = 2, 4
local RENDER_NOW = 42230        -- Render project, using the most recent settings; closes its window
local WAV_FLOAT = "ZXZhdyAAAQ=="  -- "evaw", 32 bits: nothing clips on the way
local BUILD_PEAKS = 40047       -- Peaks: Build any missing peaks

local function fail(message)
  reaper.ShowMessageBox(message, TITLE, 0)
end

local function join(folder, name)
  return folder .. package.config:sub(1, 1) .. name
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

-- JSON, as far as stemsplit writes it ------------------------------------------------------------

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local parse_value

local function parse_string(text, at)
  local parts = {}
  while true do
    local stop = text:find('["\\]', at)
    if not stop then error("a string without an end") end
    parts[#parts + 1] = text:sub(at, stop - 1)
    if text:sub(stop, stop) == '"' then return table.concat(parts), stop + 1 end
    local letter = text:sub(stop + 1, stop + 1)
    at = stop + 2
    if letter == "u" then
      local code = tonumber(text:sub(at, at + 3), 16)
      at = at + 4
      local low = code >= 0xD800 and code < 0xDC00 and text:match("^\\u(%x%x%x%x)", at)
      if low then  -- a character beyond 16 bits comes as a pair
        code = 0x10000 + (code - 0xD800) * 0x400 + tonumber(low, 16) - 0xDC00
        at = at + 6
      end
      -- A byte of a file's name that is no text comes as half of a pair.
      local byte = code >= 0xDC80 and code <= 0xDCFF and string.char(code - 0xDC00)
      parts[#parts + 1] = byte or utf8.char(code)
    else
      parts[#parts + 1] = ESCAPES[letter] or letter
    end
  end
end

local function parse_members(text, at, closing, parse_member)
  at = text:match("^%s*()", at)
  if text:sub(at, at) == closing then return at + 1 end
  while true do
    at = text:match("^%s*()", parse_member(at))
    local mark = text:sub(at, at)
    at = at + 1
    if mark == closing then return at end
    if mark ~= "," then error("a list without an end") end
  end
end

function parse_value(text, at)
  at = text:match("^%s*()", at)
  local mark = text:sub(at, at)
  if mark == '"' then return parse_string(text, at + 1) end
  if mark == "{" then
    local object = {}
    return object, parse_members(text, at + 1, "}", function(from)
      local key, value
      key, from = parse_string(text, text:match('^%s*"()', from) or error("a key that is no string"))
      value, from = parse_value(text, text:match("^%s*:()", from) or error("a key without a value"))
      object[key] = value
      return from
    end)
  end
  if mark == "[" then
    local list = {}
    return list, parse_members(text, at + 1, "]", function(from)
      list[#list + 1], from = parse_value(text, from)
      return from
    end)
  end
  local word, stop = text:match("^([%w%.%+%-]+)()", at)
  if word == "true" then return true, stop end
  if word == "false" then return false, stop end
  if word == "null" then return nil, stop end
  return tonumber(word) or error("not a value"), stop
end

-- The program ------------------------------------------------------------------------------------

-- REAPER starts a program from one line, in which quotes keep an argument together.
local function quoted(argument)
  if argument:find('"', 1, true) then error("a quotation mark in a path: " .. argument, 0) end
  return '"' .. argument .. '"'
end

local function answers(program)
  local ok, line = pcall(quoted, program)
  local result = ok and reaper.ExecProcess(line .. " --version", 20000)
  return result ~= nil and result ~= false and result:match("^0\n") ~= nil
      and result:find("stemsplit ", 1, true) ~= nil
end

-- REAPER does not know the folders a terminal knows, so it has to be told once where the program is.
local function find_program()
  local program = reaper.GetExtState(SECTION, "program")
  if program == "" then program = "stemsplit" end
  local question = "Path of the program (which stemsplit)"
  while not answers(program) do
    -- A path may hold commas, which would end it in what is returned.
    local captions = question .. ",extrawidth=300,separator=\n"
    local chosen, typed = reaper.GetUserInputs(TITLE, 1, captions, program)
    if not chosen then return nil end
    program = typed:match("^%s*(.-)%s*$")
    program = program:match('^"(.*)"$') or program  -- as Windows copies paths
    question = "No stemsplit answers there: its path"
  end
  reaper.SetExtState(SECTION, "program", program, true)
  return program
end

-- Rendering --------------------------------------------------------------------------------------

-- What is to be separated: where it lies, and where its stems go. Nil and why, where there is none.
local function find_source()
  local items = reaper.CountSelectedMediaItems(0)
  if items > 1 then return nil, "Select one item, or none and a time selection." end
  if items == 1 then
    local item = reaper.GetSelectedMediaItem(0, 0)
    local take = reaper.GetActiveTake(item)
    if not take or reaper.TakeIsMIDI(take) then return nil, "The selected item holds no audio." end
    return {
      item = item,
      track = reaper.GetMediaItem_Track(item),
      name = reaper.GetTakeName(take),
      start = reaper.GetMediaItemInfo_Value(item, "D_POSITION"),
      length = reaper.GetMediaItemInfo_Value(item, "D_LENGTH"),
      what = SELECTED_ITEMS,
      bounds = BOUNDS_SELECTED_ITEMS,
    }
  end
  local start, stop = reaper.GetSet_LoopTimeRange(false, false, 0, 0, false)
  if stop <= start then return nil, "Select an item, or make a time selection." end
  return {
    name = "mix", start = start, length = stop - start,
    what = MASTER_MIX, bounds = BOUNDS_TIME_SELECTION,
  }
end

local function swap_numbers(values)
  local before = {}
  for key, value in pairs(values) do
    before[key] = reaper.GetSetProjectInfo(0, key, 0, false)
    reaper.GetSetProjectInfo(0, key, value, true)
  end
  return before
end

local function swap_texts(values)
  local before = {}
  for key, value in pairs(values) do
    local _, text = reaper.GetSetProjectInfo_String(0, key, "", false)
    before[key] = text
    reaper.GetSetProjectInfo_String(0, key, value, true)
  end
  return before
end

-- Render with settings of our own, and leave the user's as they were.
local function render(source, folder)
  local numbers = swap_numbers({
    RENDER_SETTINGS = source.what, RENDER_BOUNDSFLAG = source.bounds, RENDER_CHANNELS = 2,
    RENDER_SRATE = 0, RENDER_TAILFLAG = 0, RENDER_ADDTOPROJ = 0, RENDER_DITHER = 0,
    RENDER_NORMALIZE = 0,
  })
  local texts = swap_texts({
    RENDER_FILE = folder, RENDER_PATTERN = "mixture", RENDER_FORMAT = WAV_FLOAT,
    RENDER_FORMAT2 = "",
  })
  local done, problem = pcall(reaper.Main_OnCommand, RENDER_NOW, 0)
  swap_numbers(numbers)
  swap_texts(texts)
  if not done then error(problem, 0) end
  local path = join(folder, "mixture.wav")
  if not reaper.file_exists(path) then error("REAPER has rendered nothing.", 0) end
  return path
end

-- Inserting --------------------------------------------------------------------------------------

local function in_order(outputs)
  local names = {}
  for _, name in ipairs(ORDER) do
    if outputs[name] then names[#names + 1] = name end
  end
  local others = {}
  for name in pairs(outputs) do
    local known = false
    for _, other in ipairs(ORDER) do known = known or other == name end
    if not known then others[#others + 1] = name end
  end
  table.sort(others)
  table.move(others, 1, #others, #names + 1, names)
  return names
end

local function add_stem(index, name, path, source)
  reaper.InsertTrackAtIndex(index, true)
  local track = reaper.GetTrack(0, index)
  reaper.GetSetMediaTrackInfo_String(track, "P_NAME", name, true)
  local item = reaper.AddMediaItemToTrack(track)
  local take = reaper.AddTakeToMediaItem(item)
  local media = reaper.PCM_Source_CreateFromFile(path)
  if not media then error("REAPER cannot read " .. path, 0) end
  reaper.SetMediaItemTake_Source(take, media)
  reaper.GetSetMediaItemTakeInfo_String(take, "P_NAME", source.name .. " - " .. name, true)
  -- Exactly where it was, and as long as the file: nothing to stretch or to loop.
  reaper.SetMediaItemInfo_Value(item, "D_POSITION", source.start)
  reaper.SetMediaItemInfo_Value(item, "D_LENGTH", (reaper.GetMediaSourceLength(media)))
  reaper.SetMediaItemInfo_Value(item, "B_LOOPSRC", 0)
  return track
end

-- Below the source's track, or last where that is gone or was the whole mix.
local function add_stems(source, outputs)
  local index, depth = reaper.CountTracks(0), 0
  local parent = source.track and reaper.ValidatePtr2(0, source.track, "MediaTrack*")
  if parent then
    index = math.floor(reaper.GetMediaTrackInfo_Value(source.track, "IP_TRACKNUMBER"))
    depth = reaper.GetMediaTrackInfo_Value(source.track, "I_FOLDERDEPTH")
  end
  local last
  for offset, name in ipairs(in_order(outputs)) do
    last = add_stem(index + offset - 1, name, outputs[name], source)
    -- The whole mix goes on sounding; with its stems it would sound twice.
    if not source.item then reaper.SetMediaTrackInfo_Value(last, "B_MUTE", 1) end
    if parent then  -- an item is rendered as it is before these
      for _, key in ipairs({ "D_VOL", "D_PAN", "I_SOLO" }) do
        local value = reaper.GetMediaTrackInfo_Value(source.track, key)
        reaper.SetMediaTrackInfo_Value(last, key, value)
      end
    end
  end
  if depth < 0 then  -- the source closed its folder, which the last stem has to do now
    reaper.SetMediaTrackInfo_Value(source.track, "I_FOLDERDEPTH", 0)
    reaper.SetMediaTrackInfo_Value(last, "I_FOLDERDEPTH", depth)
  end
  if source.item and reaper.ValidatePtr2(0, source.item, "MediaItem*") then
    reaper.SetMediaItemInfo_Value(source.item, "B_MUTE", 1)
  end
end

local function insert(source, outputs)
  reaper.Undo_BeginBlock2(0)
  reaper.PreventUIRefresh(1)
  local done, problem = pcall(add_stems, source, outputs)
  reaper.PreventUIRefresh(-1)
  reaper.Undo_EndBlock2(0, "Separate " .. source.name .. " into stems", -1)
  reaper.TrackList_AdjustWindows(false)
  reaper.UpdateArrange()
  if not done then
    reaper.Undo_DoUndo2(0)
    error(problem, 0)
  end
  reaper.Main_OnCommand(BUILD_PEAKS, 0)
end

-- Waiting ----------------------------------------------------------------------------------------

-- The stems' paths, or an error that says what went wrong.
local function outcome(folder)
  local text = read_file(join(folder, "stdout")) or ""
  local read, document = pcall(parse_value, text, 1)
  local song = read and type(document) == "table" and document.songs and document.songs[1]
  if song and song.outputs and next(song.outputs) and song.status ~= "failed" then
    return song.outputs
  end
  local message = song and song.error and song.error.message or read_file(join(folder, "stderr"))
  if not message or message:match("^%s*$") then message = "It has given no stems." end
  error(message:gsub("^stemsplit: error: ", ""):gsub("%s+$", "") .. "", 0)
end

-- Do something in the project that was rendered, whichever tab is in front by now.
local function in_project(project, folder, action)
  if not reaper.ValidatePtr(project, "ReaProject*") then
    error("The project is closed; its stems are in " .. folder, 0)
  end
  local front = reaper.EnumProjects(-1)
  reaper.SelectProjectInstance(project)
  local done, problem = pcall(action)
  reaper.SelectProjectInstance(front)
  if not done then error(problem, 0) end
end

local function guarded(action, ...)
  local done, problem = pcall(action, ...)
  if not done then fail(tostring(problem)) end
  return done
end

local function wait_for(source, folder)
  local began = reaper.time_precise()
  gfx.init(TITLE, 420, 50)
  gfx.setfont(1, "Arial", 16)
  local function look()
    if reaper.file_exists(join(folder, "exit-code")) then
      gfx.quit()
      guarded(function()
        local outputs = outcome(folder)
        in_project(source.project, folder, function() insert(source, outputs) end)
      end)
      return
    end
    local key = gfx.getchar()
    if key == 27 or key == -1 then  -- Esc, or the window is closed
      gfx.quit()
      return
    end
    gfx.x, gfx.y = 15, 17
    gfx.drawstr(string.format(
      "Separating %s ... %.0f s (Esc: do not wait for it)", source.name,
      reaper.time_precise() - began))
    gfx.update()
    reaper.defer(look)
  end
  look()
end

local function main()
  local source, problem = find_source()
  if not source then return fail(problem) end
  source.project = reaper.EnumProjects(-1)  -- the one in front
  local program = find_program()
  if not program then return end
  local place = join(reaper.GetProjectPath(""), "stems")
  local folder = join(place, os.date("%Y-%m-%d %H-%M-%S"))
  guarded(function()
    reaper.RecursiveCreateDirectory(folder, 0)
    local mixture = render(source, folder)
    local line = table.concat({
      quoted(program), "--capture", quoted(folder), "separate", quoted(mixture),
      "-o", quoted(folder), "-f", "wav", "--json", "--quiet", "--nice",
    }, " ")
    -- -2: do not wait, and show no window.
    if not reaper.ExecProcess(line, -2) then error("REAPER cannot start " .. program, 0) end
    wait_for(source, folder)
  end)
end

main()

defmodule Shop.Session do
  @moduledoc """
  The session of a visitor, in a process of its own.
  """
  use GenServer

  @timeout :timer.minutes(30)
  defstruct [:id, items: %{}]

  @doc "Starts a session."
  @spec start_link(String.t()) :: GenServer.on_start()
  def start_link(id) do
    GenServer.start_link(__MODULE__, id, name: {:via, Registry, {Shop.Sessions, id}})
  end

  @impl true
  def handle_call({:add, article, amount}, _from, state) when amount > 0 do
    items = Map.update(state.items, article, amount, &(&1 + amount))
    total = items |> Map.values() |> Enum.sum()
    :telemetry.execute([:shop, :session, :add], %{amount: amount, total: total}, %{session: state.id})
    {:reply, {:ok, total}, %{state | items: items}, @timeout}
  end

  defp expired?(state, now) do
    age = DateTime.diff(now, state.last_seen, :millisecond)
    limit = Application.get_env(:shop, :session_timeout, @timeout)
    known = Enum.any?(state.items, fn {_article, amount} -> amount > 0 end)
    age > limit and not (known and Application.get_env(:shop, :keep_filled_sessions, false))
  end
end
